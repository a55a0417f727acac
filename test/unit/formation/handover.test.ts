import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

let folder: string;
const argv = process.argv;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "prc-handover-"));
  vi.stubEnv("TMPDIR", folder);
});
afterEach(() => {
  process.argv = argv;
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** A provider process of an engine, of which this process is the child. */
async function provider(engine: string, program: string) {
  process.argv = ["node", "/sdk/cmd/dynamic-provider", engine];
  vi.spyOn(process, "cwd").mockReturnValue(program);
  vi.resetModules();
  return import("../../../components/formation/runner/handover");
}

/** What lies there, by its path. */
function left(): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => join(folder, name));
}

test("the next provider of the same engine takes what was left, once", async () => {
  (await provider("127.0.0.1:5000", "/a")).leaveForPlanner("c", "stack", { formed: true });
  const { takeFromReader } = await provider("127.0.0.1:5000", "/a");
  expect([takeFromReader("c", "authority"), takeFromReader("other", "stack")]).toEqual([[], []]);
  expect([takeFromReader("c", "stack"), takeFromReader("c", "stack")]).toEqual([[{ formed: true }], []]);
});

test("what a killed run left is not taken by another program, though its engine got the same port", async () => {
  (await provider("127.0.0.1:5000", "/a")).leaveForPlanner("c", "stack", 1);
  expect((await provider("127.0.0.1:5000", "/b")).takeFromReader("c", "stack")).toEqual([]);
  expect((await provider("127.0.0.1:5001", "/a")).takeFromReader("c", "stack")).toEqual([]);
  expect((await provider("127.0.0.1:5000", "/a")).takeFromReader("c", "stack")).toEqual([1]);
});

test.runIf(process.platform === "linux")(
  "nor by another stack of the same program: Pulumi's CLI starts each provider by a shell, and its own process tells them apart",
  () => {
    const plugin = join(folder, "pulumi-resource-pulumi-nodejs");
    writeFileSync(plugin, `#!/bin/sh\n"${process.execPath}" "$@"\nexit $?\n`, { mode: 0o755 });
    const program = join(folder, "dynamic-provider.mjs");
    const handover = pathToFileURL(join(import.meta.dirname, "../../../components/formation/runner/handover.ts"));
    writeFileSync(
      program,
      `const { leaveForPlanner, takeFromReader } = await import("${handover}");
      if (process.argv[2] === "leave") leaveForPlanner("c", "stack", "left");
      else console.log(JSON.stringify(takeFromReader("c", "stack")));`,
    );
    const run = (how: string, engine: readonly string[]) => {
      const [file = "", ...args] = [...engine, plugin, program, how, "127.0.0.1:5000"];
      const { stdout, stderr, status } = spawnSync(file, args, {
        encoding: "utf8",
        env: { ...process.env, NODE_NO_WARNINGS: "1" },
      });
      expect([status, stderr]).toEqual([0, ""]);
      return stdout.trim();
    };
    const otherEngine = ["/bin/sh", "-c", '"$@"; exit $?', "engine"];
    run("leave", []);
    expect(run("take", otherEngine)).toBe("[]");
    expect(run("take", [])).toBe('["left"]');
    // What starts Node in its own place has the arguments of what it starts, and is another process each time.
    const shim = join(folder, "node");
    writeFileSync(shim, `#!/bin/sh\n"${process.execPath}" "$@"\nexit $?\n`, { mode: 0o755 });
    writeFileSync(plugin, `#!/bin/sh\n"${shim}" "$@"\nexit $?\n`);
    run("leave", []);
    expect(run("take", otherEngine)).toBe("[]");
    expect(run("take", [])).toBe('["left"]');
  },
);

test("what nobody took goes once it is old, and at once with its cluster", async () => {
  (await provider("127.0.0.1:5000", "/a")).leaveForPlanner("c", "stack", 1);
  const [file = ""] = left();
  const old = new Date(Date.now() - 11 * 60_000);
  utimesSync(file, old, old);
  const { leaveForPlanner, discardLeft } = await provider("127.0.0.1:5001", "/a");
  for (const topic of ["stack", "observation"] as const) leaveForPlanner("c", topic, 1);
  expect(left()).toHaveLength(2);
  expect(left()).not.toContain(file);
  discardLeft("c");
  expect(left()).toEqual([]);
});

test("a line that a full disk cut off says nothing, and those before and after it do", async () => {
  const { leaveForPlanner, takeFromReader } = await provider("127.0.0.1:5000", "/a");
  leaveForPlanner("c", "authority", 2);
  appendFileSync(left()[0] ?? "", "\n[3");
  leaveForPlanner("c", "authority", 4);
  expect(takeFromReader("c", "authority")).toEqual([2, 4]);
});

test("nothing is left in a folder that others may write to or read, or that is a link", async () => {
  const { leaveForPlanner } = await provider("127.0.0.1:5000", "/a");
  leaveForPlanner("c", "stack", 1);
  const [made = ""] = readdirSync(folder);
  const own = join(folder, made);
  rmSync(own, { recursive: true });
  mkdirSync(own);
  chmodSync(own, 0o755);
  leaveForPlanner("c", "stack", 1);
  expect(left()).toEqual([]);
  rmSync(own, { recursive: true });
  const elsewhere = mkdtempSync(join(folder, "elsewhere-"));
  symlinkSync(elsewhere, own);
  leaveForPlanner("c", "stack", 1);
  expect(readdirSync(elsewhere)).toEqual([]);
});

test("a user without a name in the system can run", async () => {
  const uid = vi.spyOn(process as { getuid(): number }, "getuid").mockReturnValue(54_321);
  const { takeFromReader } = await provider("127.0.0.1:5000", "/a");
  expect(takeFromReader("c", "stack")).toEqual([]);
  expect(uid).toHaveBeenCalled();
  expect(readdirSync(folder)).toEqual(["pulumi-redis-cluster-54321"]);
});
