import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startTime } from "../../../infra/platforms/local/runner/processes";
import { takeTurn } from "../../support/turns";

let folder: string;
let lock: string;
let started: ChildProcess[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "turns-"));
  lock = join(folder, "turn");
  started = [];
});
afterEach(() => {
  for (const child of started) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** For each line that it gets: takes the turn, writes "+" and, a little later, "-" to a file, gives the turn back. */
const PROGRAM = `
const { appendFileSync } = require("node:fs");
const { takeTurn } = require(${JSON.stringify(resolve(__dirname, "../../support/turns"))});
const [lock, log] = process.argv.slice(1);
const say = (line) => process.stdout.write(line + "\\n");
require("node:readline").createInterface(process.stdin).on("line", async (line) => {
  const end = await takeTurn(lock);
  if (line === "keep") return say("has it");
  appendFileSync(log, "+" + process.pid + "\\n");
  await new Promise((resolve) => setTimeout(resolve, 2));
  appendFileSync(log, "-" + process.pid + "\\n");
  end();
  say("done");
});
say("ready");
`;

/** Another process, and the next line that it writes. */
async function other(log: string): Promise<{ child: ChildProcess; tell: (line: string) => Promise<string> }> {
  const hook = resolve(__dirname, "../../../node_modules/ts-node/register/transpile-only");
  const child = spawn(process.execPath, ["-r", hook, "-e", PROGRAM, lock, log], { stdio: ["pipe", "pipe", "inherit"] });
  started.push(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async () => String((await lines.next()).value);
  expect(await next()).toBe("ready");
  const tell = (line: string) => {
    child.stdin.write(`${line}\n`);
    return next();
  };
  return { child, tell };
}

test("what a dead process held is taken over by one of those who wait, and the others follow", {
  timeout: 60_000,
}, async () => {
  const log = join(folder, "log");
  const [dying, ...waiting] = await Promise.all([other(log), other(log), other(log), other(log)]);
  expect(await dying.tell("keep")).toBe("has it");
  const left = readFileSync(lock);
  const gone = new Promise((resolve) => dying.child.once("close", resolve));
  dying.child.kill("SIGKILL");
  await gone;
  const rounds = 25;
  for (let round = 0; round < rounds; round++) {
    writeFileSync(lock, left);
    expect(await Promise.all(waiting.map(({ tell }) => tell("go")))).toEqual(["done", "done", "done"]);
  }
  const lines = readFileSync(log, "utf8").trim().split("\n");
  expect(lines).toHaveLength(rounds * waiting.length * 2);
  for (let i = 0; i < lines.length; i += 2) expect(lines[i + 1]).toBe(lines[i]?.replace("+", "-"));
  expect(readdirSync(folder)).toEqual(["log"]);
});

test("what a living process holds is waited for, however long it has had it", async () => {
  const end = await takeTurn(lock);
  const order: string[] = [];
  const second = takeTurn(lock).then((endSecond) => {
    order.push("second");
    endSecond();
  });
  // Some of its looks.
  await setTimeout(200);
  order.push("first ends");
  end();
  await second;
  expect(order).toEqual(["first ends", "second"]);
  expect(readdirSync(folder)).toEqual([]);
});

test("a pid that is another process's by now holds nothing", async () => {
  writeFileSync(lock, JSON.stringify({ pid: process.pid, startTime: "before", token: "old" }));
  (await takeTurn(lock))();
  expect(readdirSync(folder)).toEqual([]);
});

test("who dies while taking over is followed in turn", async () => {
  writeFileSync(lock, JSON.stringify({ pid: process.pid, startTime: "before", token: "old" }));
  writeFileSync(`${lock}.old`, JSON.stringify({ pid: process.pid, startTime: "before", token: "heir" }));
  (await takeTurn(lock))();
  expect(readdirSync(folder)).toEqual([]);
});

test("giving back does not take what is another's by now", async () => {
  const end = await takeTurn(lock);
  const another = JSON.stringify({ pid: process.pid, startTime: startTime(process.pid), token: "another" });
  writeFileSync(lock, another);
  end();
  expect(readFileSync(lock, "utf8")).toBe(another);
});

test("a file that is no lock is an error, not a wait without end", async () => {
  writeFileSync(lock, "");
  await expect(takeTurn(lock)).rejects.toThrow(`${lock} is no lock of these tests: remove it`);
});
