import { afterEach, describe, expect, test } from "vitest";
import { type Bench, createBench } from "./lifecycle";
import { enginesHere } from "./workspace";

// Proves that what is really there decides. The same tests run on the CLI where one is on PATH.

describe.each(enginesHere())("on %s", (engine) => {
  let bench: Bench;
  afterEach(() => bench.dispose());

  test("`options: { refresh: always }` makes up and preview look first", { timeout: 90_000 }, async () => {
    bench = await createBench(engine, { yaml: "options: { refresh: always }\n" });
    const shape = [{ name: "a" }, { name: "b", links: ["a"] }];
    expect((await bench.run("up", shape)).calls).toEqual(["create a", "created a", "create b", "created b"]);
    expect((await bench.run("preview", shape)).calls.sort()).toEqual(["read a", "read b"]);
    const drifted = await bench.run("up", shape, { env: { DOWN: "a" } });
    expect(drifted.calls.slice(0, 2).sort()).toEqual(["read a", "read b"]);
    expect(drifted.calls.slice(2)).toEqual(["update a v1"]);
  });

  test("a preview with refresh changes no state", { timeout: 90_000 }, async () => {
    bench = await createBench(engine);
    const shape = [{ name: "a" }];
    await bench.run("up", shape);
    const before = await bench.workspace.exportStack();
    const preview = await bench.run("preview", shape, { flags: ["--refresh"], env: { DOWN: "a" } });
    expect(preview.ok, preview.stdout).toBe(true);
    expect(preview.operations).toContain("pre update pulumi-nodejs:dynamic:Resource::a");
    expect((await bench.workspace.exportStack()).deployment.resources).toEqual(before.deployment.resources);
  });

  test("what is gone leaves the state, with the references to it, and comes back", { timeout: 90_000 }, async () => {
    bench = await createBench(engine);
    const shape = [{ name: "a" }, { name: "b", links: ["a"] }];
    await bench.run("up", shape);
    const refreshed = await bench.run("refresh", shape, { env: { GONE: "a" } });
    expect(refreshed.ok, refreshed.stdout).toBe(true);
    expect(refreshed.operations).toContain("out delete pulumi-nodejs:dynamic:Resource::a");
    expect(await bench.names()).toEqual(["b"]);
    const { deployment } = await bench.workspace.exportStack();
    expect(deployment.resources?.at(-1)?.dependencies ?? []).toEqual([]);
    const again = await bench.run("up", shape);
    expect(again.calls).toEqual(["create a", "created a"]);
    expect(await bench.names()).toEqual(["a", "b"]);
  });
});
