import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { History } from "../../../components/formation/goal";
import { layoutOf } from "../../../components/formation/layout";
import { EXECUTOR_PREFIX } from "../../../components/formation/lock";
import { programFor, TestCluster, until } from "../../support/formation";

/**
 * A process of its own that runs `reconcile` and is killed with SIGKILL right after its k-th changing command was
 * answered (by itself, so that the point is exact). It prints how many there were, if it got to the end.
 */
const CHILD = `
const [, , root, k, work] = process.argv;
const { Connections } = require(root + "/components/formation/wire.js");
const { reconcile } = require(root + "/components/formation/reconcile.js");
const changing = /^(CLUSTER (?!MYID|NODES|INFO)|CONFIG SET|CONFIG REWRITE)/;
const send = Connections.prototype.send;
let count = 0;
Connections.prototype.send = async function (endpoint, commands) {
  const answers = [];
  for (const command of commands) {
    answers.push(...(await send.call(this, endpoint, [command])));
    if (changing.test(command.slice(0, 2).join(" ")) && ++count === Number(k)) process.kill(process.pid, "SIGKILL");
  }
  return answers;
};
const { goal, history, access } = JSON.parse(work);
reconcile(goal, history, { access, onProgress: () => {} }).then(
  () => console.log(count),
  (error) => { console.error(error); process.exit(1); },
);
`;

let root = "";

beforeAll(() => {
  // Compiled here, file by file: what is tested is the source as it is, whether or not somebody has built it.
  root = mkdtempSync(join(tmpdir(), "prc-killed-"));
  const from = resolve("components");
  cpSync(from, join(root, "components"), { recursive: true, filter: (file) => !file.endsWith(".ts") });
  for (const file of readdirSync(from, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"))) {
    const { outputText } = ts.transpileModule(readFileSync(join(from, file), "utf8"), {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023, esModuleInterop: true },
    });
    writeFileSync(join(root, "components", file.replace(/\.ts$/, ".js")), outputText);
  }
  writeFileSync(join(root, "child.js"), CHILD);
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** @returns the number of changing commands of a run that ended, or undefined where it was killed */
function run({ goal, access }: TestCluster, history: History, k: number): Promise<number | undefined> {
  const work = JSON.stringify({ goal, history, access });
  const child = spawn(process.execPath, [join(root, "child.js"), root, String(k), work], {
    env: { ...process.env, NODE_PATH: resolve("node_modules") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  child.stdout.on("data", (data: Buffer) => (text += data.toString()));
  child.stderr.on("data", (data: Buffer) => (text += data.toString()));
  return new Promise((done, fail) => {
    child.once("close", (code, signal) => {
      if (signal === "SIGKILL") done(undefined);
      else if (code === 0) done(Number(text));
      else fail(new Error(text));
    });
  });
}

describe("a first formation killed with SIGKILL", { timeout: 300_000 }, () => {
  test("at a dozen points and more: the next run completes it, and nothing of the killed one is left", async (context) => {
    const cluster = await TestCluster.start({
      program: await programFor(context, "redis-7.0"),
      masters: 3,
      replicas: 1,
      zones: 3,
    });
    context.onTestFinished(() => cluster.stop());
    const all = await run(cluster, { members: [], verified: false }, 0);
    // At the least: 6 temporary settings, 3 epochs, 3 assignments, meetings, 3 replicas, 6 settings put back.
    expect(all).toBeGreaterThanOrEqual(30);
    const total = all ?? 0;
    const points = process.env.FULL
      ? Array.from({ length: total }, (_, i) => i + 1)
      : [
          ...new Set([
            1,
            4,
            8,
            10,
            12,
            13,
            17,
            Math.round(total / 2),
            total - 9,
            total - 7,
            total - 5,
            total - 3,
            total - 1,
            total,
          ]),
        ];
    let killed = 0;
    for (const k of points) {
      await cluster.blank();
      // The last points may not be reached: how many meetings it takes depends on timing.
      if ((await run(cluster, { members: [], verified: false }, k)) === undefined) killed++;
      await until("the connections of the killed run are gone", async () =>
        (await cluster.send(["CLIENT", "LIST"])).every((list) => !String(list).includes(EXECUTOR_PREFIX)),
      );
      const { layout, members } = await cluster.reconcile();
      for (const value of await cluster.send(["CONFIG", "GET", "cluster-node-timeout"]))
        expect(JSON.stringify(value), `killed after command ${k}`).toContain("5000");
      expect(
        members.map((m) => m.name),
        `killed after command ${k}`,
      ).toEqual([...cluster.names].sort());
      for (const { planned, leader, slots } of layout)
        expect([leader?.name, slots], `killed after command ${k}`).toEqual([planned.nodes[0]?.name, planned.slots]);
      expect((await cluster.check(cluster.names[k % 6] ?? "")).text).toMatch(/\[OK\] All 16384 slots covered/);
    }
    expect(killed).toBeGreaterThanOrEqual(10);
    for (const file of cluster.names.map((name) => readFileSync(join(cluster.dir(name), "redis.conf"), "utf8")))
      expect(file).toMatch(/^cluster-node-timeout 5000$/m);
  });

  test("and a repair as well: a new identity joins, whatever the point", async (context) => {
    const cluster = await TestCluster.start({
      program: await programFor(context, "valkey-9.1"),
      masters: 3,
      replicas: 1,
      zones: 3,
      nodeTimeoutMilliseconds: 2_000,
    });
    context.onTestFinished(() => cluster.stop());
    let { members } = await cluster.reconcile();
    await cluster.fill(200);
    const lost = cluster.names[1] ?? "";
    for (const k of [1, 3, 6, 9, 11, 12, 13, 15]) {
      await cluster.killNode(lost);
      rmSync(join(cluster.dir(lost), "nodes.conf"));
      await cluster.startNode(lost);
      await run(cluster, { members, verified: true }, k);
      const result = await cluster.reconcile({ members, verified: true });
      members = result.members;
      expect(
        members.map((m) => [m.name, m.state]),
        `killed after command ${k}`,
      ).toEqual([...cluster.names].sort().map((name) => [name, "member"]));
      expect(
        layoutOf(cluster.goal, result.observation).map((s) => s.replicas.length),
        `killed after command ${k}`,
      ).toEqual([1, 1, 1]);
      expect(await cluster.missing(200)).toEqual([]);
    }
  });
});
