import { afterEach, describe, expect, test } from "vitest";
import { type Bench, createBench, urnOf } from "./lifecycle";
import { enginesHere } from "./workspace";

// Proves resource options and command-line options one by one. The same tests run on the CLI where one is on PATH. In `npm run test:full`, or where the CLI is:
// the library itself uses few of them.

const engines = enginesHere();

describe.skipIf(!process.env.FULL && !engines.includes("cli")).each(engines)("on %s", (engine) => {
  let bench: Bench;
  afterEach(() => bench.dispose());

  test("retainOnDelete forgets without deleting", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    await bench.run("up", [{ name: "a", options: { retainOnDelete: true } }, { name: "b" }]);
    const removed = await bench.run("up", []);
    expect(removed.ok, removed.stdout).toBe(true);
    expect(removed.calls).toEqual(["delete b"]);
    expect(await bench.names()).toEqual([]);
  });

  test("deletedWith skips the delete call of what goes with another", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    await bench.run("up", [{ name: "host" }, { name: "guest", deletedWith: "host" }]);
    const removed = await bench.run("destroy", []);
    expect(removed.ok, removed.stdout).toBe(true);
    expect(removed.calls).toEqual(["delete host"]);
    expect(await bench.names()).toEqual([]);
  });

  test("an alias renames without replacing, children included", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    await bench.run("up", [
      { name: "old", type: "component" },
      { name: "inner", parent: "old" },
      { name: "a" },
      { name: "b", links: ["a"] },
    ]);
    const renamed = await bench.run("up", [
      { name: "new", type: "component", options: { aliases: [{ name: "old" }] } },
      { name: "inner", parent: "new" },
      { name: "a2", label: "a", options: { aliases: [{ name: "a" }] } },
      { name: "b", links: ["a2"] },
    ]);
    expect(renamed.ok, renamed.stdout).toBe(true);
    expect(renamed.calls).toEqual([]);
    expect((await bench.names()).sort()).toEqual(["a2", "b", "inner", "new"]);
    expect(renamed.operations.filter((line) => /create|delete|replace|update/.test(line))).toEqual([]);
  });

  test("ignoreChanges keeps the old input", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    await bench.run("up", [{ name: "a", version: "1" }]);
    const ignored = await bench.run("up", [{ name: "a", version: "2", options: { ignoreChanges: ["version"] } }]);
    expect(ignored.ok, ignored.stdout).toBe(true);
    expect(ignored.calls).toEqual([]);
  });

  test("replaceOnChanges replaces where the provider leaves the diff to the engine", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    const options = { replaceOnChanges: ["version"] };
    await bench.run("up", [{ name: "a", simple: true, options }]);
    const replaced = await bench.run("up", [{ name: "a", version: "2", simple: true, options }]);
    expect(replaced.calls).toEqual(["create a", "created a", "delete a"]);
  });

  test("secrets are encrypted in the state and shown nowhere", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    const shape = [
      { name: "a", secret: "open-sesame" },
      { name: "b", version: "plain-sesame", options: { additionalSecretOutputs: ["version"] } },
    ];
    const preview = await bench.run("preview", shape, { flags: ["--diff"] });
    const up = await bench.run("up", shape, { flags: ["--diff"] });
    expect(up.ok, up.stdout).toBe(true);
    const { deployment } = await bench.workspace.exportStack();
    const stored = JSON.stringify(deployment.resources);
    for (const text of [preview.stdout, up.stdout, stored]) expect(text).not.toContain("open-sesame");
    const outputs = JSON.stringify(deployment.resources?.map((resource) => resource.outputs));
    expect(outputs).not.toContain("plain-sesame");
    const open = JSON.stringify((await bench.workspace.exportStack({ showSecrets: true })).deployment.resources);
    expect(open).toContain("open-sesame");
  });

  test("a target is updated alone, and nothing else is deleted", { timeout: 90_000 }, async () => {
    bench = await createBench(engine);
    await bench.run("up", [{ name: "a" }, { name: "b" }, { name: "c" }]);
    const target = ["--target", urnOf("a")];
    const updated = await bench.run("up", [{ name: "a", version: "2" }, { name: "b", version: "2" }, { name: "new" }], {
      flags: target,
    });
    expect(updated.ok, updated.stdout).toBe(true);
    expect(updated.calls).toEqual(["update a v2"]);
    expect((await bench.names()).sort()).toEqual(["a", "b", "c"]);
    const missing = await bench.run("up", [{ name: "a" }], { flags: ["--target", urnOf("nobody")] });
    expect(missing.ok).toBe(false);
    expect(missing.stdout + missing.stderr).toContain("could not be found in the stack");
  });

  test("destroying a target that others need is refused; with its dependants it goes", {
    timeout: 90_000,
  }, async () => {
    bench = await createBench(engine);
    const shape = [{ name: "a" }, { name: "b", links: ["a"] }, { name: "c" }];
    await bench.run("up", shape);
    const refused = await bench.run("destroy", shape, { flags: ["--target", urnOf("a")] });
    expect(refused.ok).toBe(false);
    expect(refused.calls).toEqual([]);
    const done = await bench.run("destroy", shape, { flags: ["--target", urnOf("a"), "--target-dependents"] });
    expect(done.ok, done.stdout).toBe(true);
    expect(done.calls).toEqual(["delete b", "delete a"]);
    expect(await bench.names()).toEqual(["c"]);
  });

  test("what is excluded stays, with all that it needs", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    const shape = [{ name: "a" }, { name: "b", links: ["a"] }, { name: "c" }];
    await bench.run("up", shape);
    const done = await bench.run("destroy", shape, { flags: ["--exclude", urnOf("b")] });
    expect(done.ok, done.stdout).toBe(true);
    expect(done.calls).toEqual(["delete c"]);
    expect(await bench.names()).toEqual(["a", "b"]);
  });

  test("with --continue-on-error a failed delete keeps what it depends on, and the rest goes", {
    timeout: 60_000,
  }, async () => {
    bench = await createBench(engine);
    await bench.run("up", [{ name: "a" }, { name: "b", links: ["a"] }, { name: "c" }]);
    const done = await bench.run("up", [], { flags: ["--continue-on-error"], env: { KEEP: "b" } });
    expect(done.ok).toBe(false);
    expect(done.calls.sort()).toEqual(["delete b", "delete c"]);
    expect(await bench.names()).toEqual(["a", "b"]);
  });
});
