import * as fs from "node:fs";
import * as path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Bench, createBench, until } from "./lifecycle";
import { enginesHere } from "./workspace";

// Proves what is left when a run is killed or asked to stop. The same tests run on the CLI where one is on PATH.

const slow = [{ name: "a" }, { name: "b", sleep: 3000, after: ["a"] }, { name: "c", after: ["b"] }];
const quick = [{ name: "a" }, { name: "b", after: ["a"] }, { name: "c", after: ["b"] }];

describe.each(enginesHere())("on %s", (engine) => {
  let bench: Bench;
  afterEach(() => bench.dispose());

  test("a killed run keeps what it completed, stays locked, and warns until told to forget", {
    timeout: 120_000,
  }, async () => {
    bench = await createBench(engine);
    const run = bench.start("up", slow);
    await until(() => bench.calls().includes("create b"));
    process.kill(run.pid, "SIGKILL");
    expect((await run.result).signal).toBe("SIGKILL");
    expect(await bench.names()).toEqual(["a"]);
    const { deployment } = await bench.workspace.exportStack();
    expect(
      deployment.pending_operations?.map(({ type, resource }) => `${type} ${String(resource.urn).split("::").pop()}`),
    ).toEqual(["creating b"]);

    const locked = await bench.run("up", quick);
    expect(locked.ok).toBe(false);
    expect(locked.stderr + locked.stdout).toContain("the stack is currently locked");
    expect(locked.calls).toEqual([]);

    expect((await bench.workspace.command(["cancel", "--stack", "dev", "--yes"])).ok).toBe(true);
    const resumed = await bench.run("up", quick);
    expect(resumed.ok, resumed.stdout + resumed.stderr).toBe(true);
    expect(resumed.stdout).toContain("pending operations from previous deployment");
    expect(resumed.calls.filter((call) => call.startsWith("create "))).toEqual(["create b", "create c"]);
    expect(await bench.names()).toEqual(["a", "b", "c"]);

    // The warning stays: only a human can know what the first create left behind.
    expect((await bench.run("up", quick)).stdout).toContain("pending operations");
    expect((await bench.run("refresh", quick, { flags: ["--clear-pending-creates"] })).ok).toBe(true);
    expect((await bench.run("up", quick)).stdout).not.toContain("pending operations");
  });

  test("an orphaned provider finishes what it was doing", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    const run = bench.start("up", slow);
    await until(() => bench.calls().includes("create b"));
    process.kill(run.pid, "SIGKILL");
    await run.result;
    await until(() => bench.calls().includes("created b"));
  });

  test("a replacement interrupted between delete and create is completed, not begun again", {
    timeout: 120_000,
  }, async () => {
    bench = await createBench(engine);
    const inPlace = (version: string, sleep?: number) => [
      { name: "machine", version, sleep, replaceOn: ["version"], options: { deleteBeforeReplace: true } },
      { name: "guard", links: ["machine"], replaceOn: ["links"], options: { deleteBeforeReplace: true } },
      { name: "next", version, after: ["guard"], replaceOn: ["version"], options: { deleteBeforeReplace: true } },
    ];
    await bench.run("up", inPlace("1"));
    const run = bench.start("up", inPlace("2", 3000));
    await until(() => bench.calls().includes("create machine"));
    process.kill(run.pid, "SIGKILL");
    await run.result;
    expect(bench.calls()).toEqual(["delete guard", "delete machine", "create machine"]);
    const { deployment } = await bench.workspace.exportStack();
    const pending = deployment.resources
      ?.filter((resource) => resource.pendingReplacement)
      .map(({ urn }) => String(urn).split("::").pop());
    expect(pending?.sort()).toEqual(["guard", "machine"]);
    await until(() => bench.calls().includes("created machine"));

    await bench.workspace.command(["cancel", "--stack", "dev", "--yes"]);
    // A refresh does not ask for what is known to be deleted.
    const refreshed = await bench.run("refresh", inPlace("2"));
    expect(refreshed.calls).toEqual(["read next"]);
    const resumed = await bench.run("up", inPlace("2"));
    expect(resumed.ok, resumed.stdout + resumed.stderr).toBe(true);
    const steps = resumed.calls.filter((call) => !call.startsWith("created"));
    // The machine's delete is not called again, but that of its dependant is: a guard must bear to be deleted twice.
    expect(steps).toEqual(["delete guard", "create machine", "create guard", "delete next", "create next"]);
    expect(await bench.names()).toEqual(["machine", "guard", "next"]);
  });

  test("SIGINT lets the running step finish, starts no other, and unlocks", { timeout: 60_000 }, async () => {
    bench = await createBench(engine);
    const run = bench.start("up", slow);
    await until(() => bench.calls().includes("create b"));
    process.kill(run.pid, "SIGINT");
    const result = await run.result;
    expect(result.ok).toBe(false);
    expect(bench.calls().filter((call) => call.startsWith("create"))).toEqual([
      "create a",
      "created a",
      "create b",
      "created b",
    ]);
    expect(await bench.names()).toEqual(["a", "b"]);
    const next = await bench.run("up", quick);
    expect(next.ok, next.stdout + next.stderr).toBe(true);
    expect(next.stdout).not.toContain("pending operations");
  });
});

describe("the lock", () => {
  let bench: Bench;
  afterEach(() => bench.dispose());

  test("names the holder, and says what to do when that is gone", { timeout: 60_000 }, async () => {
    bench = await createBench("hermetic");
    const run = bench.start("up", slow);
    await until(() => bench.calls().includes("create b"));
    const busy = await bench.workspace.command(["destroy", "--yes", "--stack", "dev"]);
    expect(busy.exitCode).toBe(255);
    expect(busy.stderr).toContain(`(pid ${run.pid})`);
    expect(busy.stderr).toContain("wait for the other process");
    process.kill(run.pid, "SIGKILL");
    await run.result;
    const orphaned = await bench.workspace.command(["destroy", "--yes", "--stack", "dev"]);
    expect(orphaned.stderr).toContain("the process that took it is gone");
    expect(orphaned.stderr).toContain("`cancel`");
    // A number that another process has by now does not keep the lock alive.
    const file = path.join(bench.workspace.backend, ".hermetic", "locks", "test", "dev.json");
    const holder = JSON.parse(fs.readFileSync(file, "utf8"));
    fs.writeFileSync(file, JSON.stringify({ ...holder, pid: process.pid }));
    expect((await bench.workspace.command(["destroy", "--yes", "--stack", "dev"])).stderr).toContain("is gone");
  });
});
