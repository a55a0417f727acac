import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { startTime } from "../../../infra/platforms/local/runner/processes";

const { bounded } = await import("../../../infra/toolchain/project.mjs");
const node = (text: string, milliseconds: number, ...args: string[]) =>
  bounded(process.execPath, ["-e", text, ...args], milliseconds, { stdio: "ignore" });

test("a program that ends in time answers with its exit code", async () => {
  expect(await node("process.exitCode = 3", 60_000)).toBe(3);
});

test("one that takes too long ends, with what it has started", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "bounded-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "pid");
  // As npm does: the work is a child's, which a signal to npm alone would leave behind.
  const program = `
    const child = require("node:child_process").spawn("sleep", ["600"], { stdio: "ignore" });
    require("node:fs").writeFileSync(process.argv[1] + ".new", String(child.pid));
    require("node:fs").renameSync(process.argv[1] + ".new", process.argv[1]);
  `;
  const ended = node(program, 5_000, file);
  while (!existsSync(file)) await setTimeout(10);
  const pid = Number(readFileSync(file, "utf8"));
  expect(startTime(pid)).toBeDefined();
  expect(await ended).toBeUndefined();
  while (startTime(pid) !== undefined) await setTimeout(10);
});

test("what cannot be run says so", async () => {
  await expect(bounded("/nowhere/npm", [], 1_000)).rejects.toThrow("/nowhere/npm cannot be run");
});
