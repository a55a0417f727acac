import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { claims } from "../../../components/formation/layout";
import { ChaosCluster } from "../../chaos/cluster";
import { executor } from "../../chaos/run";
import { FAULTS, sequenceOf } from "../../chaos/sequence";
import { programFor } from "../../support/formation";

/** `npm test` compiles it. */
const COMPILED = resolve("build", "test", "chaos");
const SEED = 1;
/** Short ones, small clusters; with FULL a hundred. */
const RUNS = process.env.FULL ? "0-99" : "16,17";

describe("sequences", () => {
  test("are the same for a seed, and differ between seeds and runs", () => {
    expect(sequenceOf(3, 7)).toEqual(sequenceOf(3, 7));
    expect(sequenceOf(3, 7)).not.toEqual(sequenceOf(4, 7));
    expect(sequenceOf(3, 7).rounds).not.toEqual(sequenceOf(3, 8).rounds);
  });

  test("of a hundred runs hold each kind of fault ten times and more, on clusters of 3 to 9 masters", () => {
    const all = Array.from({ length: 100 }, (_, i) => sequenceOf(SEED, i));
    const faults = all.flatMap((s) => s.rounds.map((r) => r.fault));
    for (const fault of FAULTS) expect([fault, faults.filter((f) => f === fault).length >= 10]).toEqual([fault, true]);
    const masters = all.flatMap((s) => [s.start.masters, ...s.rounds.map((r) => r.declared.masters)]);
    expect([Math.min(...masters), Math.max(...masters)]).toEqual([3, 9]);
  });
});

describe("chaos", () => {
  test("ends verified, with every key where it belongs", { timeout: 7_200_000 }, async (context) => {
    await programFor(context, "redis-7.0");
    const main = resolve(COMPILED, "main.js");
    if (!existsSync(main)) throw new Error("compile first: npx tsc -p tsconfig.tools.json");
    const { code, out, problems } = await new Promise<{ code: number; out: string; problems: string }>((done) => {
      const child = execFile(
        process.execPath,
        [main, "--seed", String(SEED), "--only", RUNS],
        { maxBuffer: 1e8 },
        (_error, out, problems) => done({ code: child.exitCode ?? 1, out, problems }),
      );
    });
    expect(code, out + problems).toBe(0);
    const figures = JSON.parse(out.trimEnd().split("\n").at(-1) ?? "{}");
    expect([figures.failed, figures.verified + figures.refused.length]).toEqual([[], figures.runs]);
    expect(figures.writes.acknowledged).toBeGreaterThan(0);
    if (process.env.FULL) console.log(JSON.stringify(figures));
  });
});

describe("an executor that is killed among its last commands for a group of slots", () => {
  const SHAPE = { replicas: 0, zones: 1, nodeTimeoutMilliseconds: 1_000, maxmemoryPolicy: "noeviction" };
  /** At other commands each time, of those that open a slot and of those that close it. */
  const KILLS = 30;
  const KILLS_WITHOUT_A_BUG = process.env.FULL ? KILLS : 10;

  /** Slots without an owner after each kill; each run goes on where the one before was killed. */
  async function uncovered(cluster: ChaosCluster, planted: "source-first" | undefined): Promise<number[]> {
    await cluster.declare({ ...SHAPE, masters: 3 });
    const formed = await executor(
      0,
      JSON.stringify({ goal: cluster.goal, history: cluster.remembered() }),
      undefined,
      COMPILED,
    );
    if (formed === "killed" || "failed" in formed) throw new Error(`not formed: ${JSON.stringify(formed)}`);
    cluster.history = { members: formed.members, verified: true };
    await cluster.declare({ ...SHAPE, masters: 4 });
    const found: number[] = [];
    for (let i = 0; i < (planted ? KILLS : KILLS_WITHOUT_A_BUG); i++) {
      const work = JSON.stringify({ goal: cluster.goal, history: cluster.remembered() });
      // Command by command there are hundreds, by script two and some for a group of slots.
      const last = planted ? 400 + 67 * i : 20 + 13 * i;
      if ((await executor(last, work, planted, COMPILED)) !== "killed") break;
      found.push(claims(await cluster.observe()).unowned.length);
      if (found.some((slots) => slots > 0)) break;
    }
    return found;
  }

  test.for([
    ["leaves every slot with an owner", undefined],
    ["does not, if the source were told of the new owner before the target: such a bug is caught", "source-first"],
  ] as const)("%s", { timeout: 300_000 }, async ([, planted], context) => {
    const program = await programFor(context, "redis-7.0");
    const cluster = new ChaosCluster(program, { ...SHAPE, masters: 3 });
    context.onTestFinished(() => cluster.stop());
    const found = await uncovered(cluster, planted);
    expect(found.length).toBeGreaterThan(0);
    expect(Math.max(...found) > 0).toBe(planted !== undefined);
  });
});
