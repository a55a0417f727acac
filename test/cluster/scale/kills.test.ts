import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXECUTOR_PREFIX } from "../../../components/formation/lock";
import { CheckedLoad, reportLine } from "../../load/load";
import { programFor, type Shape, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { makeRunner, type Runner } from "./runner";
import { ChangingCluster } from "./support";

const SMALL: Shape = { masters: 3, replicas: 1, zones: 3 };

/** Two shapes, and so two plans: there and back. */
const PLANS: readonly (readonly [string, TestServerName, Shape])[] = process.env.FULL
  ? [
      ["3 → 4 → 3 masters", "redis-7.0", { masters: 4, replicas: 1, zones: 3 }],
      ["3 → 4 → 3 masters", "valkey-9.1", { masters: 4, replicas: 1, zones: 3 }],
      ["1 → 2 → 1 replicas", "redis-7.0", { masters: 3, replicas: 2, zones: 3 }],
    ]
  : [["3 → 4 → 3 masters", "valkey-9.1", { masters: 4, replicas: 1, zones: 3 }]];

/** Every point with FULL; otherwise one early, where nodes join, and one late, where others leave. */
function pointsOf(total: number): number[] {
  const all = Array.from({ length: total }, (_, i) => i + 1);
  return process.env.FULL ? all : [2, total - 2];
}

let runner: Runner;
beforeAll(() => {
  runner = makeRunner();
});
afterAll(() => runner.remove());

describe("a plan that is interrupted after any of its steps, under a load that is checked", () => {
  test.for(PLANS)("%s, %s: resumed, nothing is lost", { timeout: 900_000 }, async ([name, server, other], context) => {
    const cluster = await ChangingCluster.start(await programFor(context, server), SMALL);
    context.onTestFinished(() => cluster.stop());
    const load = await CheckedLoad.start(Object.values(cluster.goal.endpoints), { restMilliseconds: 3 });
    context.onTestFinished(() => load.close());

    async function whole(what: string): Promise<void> {
      expect([what, await cluster.faults(), await load.audit(), load.errors]).toEqual([what, [], [], []]);
      await cluster.endRetired();
    }
    /** Interrupted after the k-th exchange, then resumed. @returns the number of exchanges, where the run came to its end */
    async function interrupted(shape: Shape, k: number, end: "kill" | "engine"): Promise<number | undefined> {
      await cluster.declare(shape);
      const total = await runner.run(cluster.goal, cluster.history, k, { unit: "exchange", end });
      await until("the connections of the interrupted run are gone", async () =>
        (await Promise.all(cluster.running.map((n) => cluster.call(n, "CLIENT", "LIST")))).every(
          (list) => !String(list).includes(EXECUTOR_PREFIX),
        ),
      );
      await cluster.reconcile();
      await whole(`${JSON.stringify(shape)}, ${end} after step ${k}`);
      return total;
    }

    // The first run of each is not interrupted: it counts.
    const there = await load.during("there", () => interrupted(other, 0, "kill"));
    const back = await load.during("back", () => interrupted(SMALL, 0, "kill"));
    const total = Math.max(there ?? 0, back ?? 0);
    expect(Math.min(there ?? 0, back ?? 0)).toBeGreaterThan(5);
    let reached = 0;
    const points = pointsOf(total);
    for (const [i, k] of points.entries()) {
      const ends = i % 2 === 0 ? (["kill", "engine"] as const) : (["engine", "kill"] as const);
      const outcomes = await load.during(`interrupted after step ${k}`, async () => [
        await interrupted(other, k, ends[0]),
        await interrupted(SMALL, k, ends[1]),
      ]);
      reached += outcomes.filter((outcome) => outcome === undefined).length;
    }
    const report = await load.end();
    const longest = Math.max(...report.steps.map((s) => s.longestPauseMilliseconds));
    const steps = report.steps.slice(0, 2);
    console.log(
      reportLine(`${name}, ${server}: ${reached} interruptions, ${there} and ${back} steps, pause ${longest} ms`, {
        ...report,
        steps,
      }),
    );
    expect([report.errors, report.wrong]).toEqual([[], []]);
    // The shorter of both plans, and what timing makes of the last steps, has no later points.
    expect(reached).toBeGreaterThanOrEqual(points.length);
  });
});
