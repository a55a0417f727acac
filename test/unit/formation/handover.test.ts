import { mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** A provider process, as Pulumi starts one for a stack. */
async function provider(engine: string, program: string, stack = "dev") {
  process.argv = ["node", "/sdk/cmd/dynamic-provider", engine];
  vi.spyOn(process, "cwd").mockReturnValue(program);
  vi.stubEnv("PULUMI_NODEJS_STACK", stack);
  vi.resetModules();
  return import("../../../components/formation/runner/handover");
}

test("the next provider of the same engine and stack takes what was left, once", async () => {
  (await provider("127.0.0.1:5000", "/a")).leaveForPlanner("c", "nodes", "line");
  const { takeFromReader } = await provider("127.0.0.1:5000", "/a");
  expect([takeFromReader("c", "formed"), takeFromReader("other", "nodes")]).toEqual([[], []]);
  expect([takeFromReader("c", "nodes"), takeFromReader("c", "nodes")]).toEqual([["line"], []]);
});

test("what a killed run left is not taken by another stack, though its engine got the same port", async () => {
  (await provider("127.0.0.1:5000", "/a")).leaveForPlanner("c", "nodes", "line");
  for (const [engine, program, stack] of [
    ["127.0.0.1:5000", "/b", "dev"],
    ["127.0.0.1:5000", "/a", "prod"],
    ["127.0.0.1:5001", "/a", "dev"],
  ] as const)
    expect((await provider(engine, program, stack)).takeFromReader("c", "nodes")).toEqual([]);
});

test("what nobody took goes once it is old", async () => {
  (await provider("127.0.0.1:5000", "/a")).leaveForPlanner("c", "nodes", "line");
  const [made = ""] = readdirSync(folder);
  const [file = ""] = readdirSync(join(folder, made));
  const old = new Date(Date.now() - 11 * 60_000);
  utimesSync(join(folder, made, file), old, old);
  (await provider("127.0.0.1:5001", "/a")).leaveForPlanner("c", "nodes", "line");
  expect(readdirSync(join(folder, made))).toHaveLength(1);
  expect(readdirSync(join(folder, made))).not.toContain(file);
});
