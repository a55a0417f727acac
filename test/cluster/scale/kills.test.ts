import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXECUTOR_PREFIX } from "../../../components/formation/lock";
import { CheckedLoad, reportLine } from "../../load/load";
import { programFor, type Shape, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { makeRunner, type Runner } from "./runner";
import { ChangingCluster } from "./support";

const SMALL: Shape = { masters: 3, replicas: 1, zones: 3 };

type End = "kill" | "engine";

interface Plans {
  readonly name: string;
  readonly server: TestServerName;
  /** There and back again: two plans. */
  readonly other: Shape;
  readonly ends: readonly End[];
}

/** Every run, a resumed one too, is interrupted after so many steps until one comes to its end. */
const STRIDE = 6;
/** The first run of a pass is interrupted after so many: all of them together come by every step of the plan. */
const FIRST = process.env.FULL ? [1, 2, 3, 4, 5, 6] : [2];

const MORE_MASTERS: Shape = { masters: 4, replicas: 1, zones: 3 };
const PLANS: readonly Plans[] = process.env.FULL
  ? [
      { name: "3 → 4 → 3 masters", server: "valkey-9.1", other: MORE_MASTERS, ends: ["kill", "engine"] },
      { name: "3 → 4 → 3 masters", server: "redis-7.0", other: MORE_MASTERS, ends: ["kill"] },
      {
        name: "1 → 2 → 1 replicas",
        server: "redis-7.0",
        other: { masters: 3, replicas: 2, zones: 3 },
        ends: ["kill"],
      },
    ]
  : [{ name: "3 → 4 → 3 masters", server: "valkey-9.1", other: MORE_MASTERS, ends: ["kill"] }];

let runner: Runner;
beforeAll(() => {
  runner = makeRunner();
});
afterAll(() => runner.remove());

describe("a plan that is interrupted after any of its steps, and so is each run that resumes it", () => {
  test.for(PLANS)("$name, $server: nothing is lost", { timeout: 1_800_000 }, async (plans, context) => {
    const { name, server, other, ends } = plans;
    const cluster = await ChangingCluster.start(await programFor(context, server), SMALL);
    context.onTestFinished(() => cluster.stop());
    const load = await CheckedLoad.start(Object.values(cluster.goal.endpoints), {
      login: cluster.login,
      restMilliseconds: 3,
    });
    context.onTestFinished(() => load.close());

    async function executorsGone(): Promise<void> {
      await until("the connections of the interrupted run are gone", async () =>
        (await Promise.all(cluster.running.map((n) => cluster.call(n, "CLIENT", "LIST")))).every(
          (list) => !String(list).includes(EXECUTOR_PREFIX),
        ),
      );
    }
    /** @returns how often it was interrupted, and how many steps the last run had */
    async function carryOut(shape: Shape, first: number, end: End): Promise<{ interruptions: number; steps: number }> {
      const what = `${JSON.stringify(shape)}, ${end} after ${first} steps, then after every ${STRIDE}`;
      await cluster.declare(shape);
      let interruptions = 0;
      let steps: number | undefined;
      for (let k = first; steps === undefined; k = first === 0 ? 0 : STRIDE) {
        steps = await runner.run(cluster, cluster.history, k, { unit: "exchange", end });
        if (steps === undefined) interruptions++;
        await executorsGone();
      }
      // In the eyes of a run that changes nothing any more it is verified, and its members are those that are declared.
      const { members } = await cluster.reconcile();
      expect([what, members.map((m) => m.name)]).toEqual([what, [...cluster.names].sort()]);
      expect([what, await cluster.faults(), await load.audit(), load.errors]).toEqual([what, [], [], []]);
      await cluster.endRetired();
      return { interruptions, steps };
    }

    // The first run of each is not interrupted: it counts.
    const there = await load.during("there", () => carryOut(other, 0, "kill"));
    const back = await load.during("back", () => carryOut(SMALL, 0, "kill"));
    expect(Math.min(there.steps, back.steps)).toBeGreaterThan(5);
    let interruptions = 0;
    for (const end of ends) {
      for (const first of FIRST) {
        for (const shape of [other, SMALL]) {
          const pass = await load.during(`${end} from step ${first}`, () => carryOut(shape, first, end));
          interruptions += pass.interruptions;
        }
      }
    }
    const report = await load.end();
    const longest = Math.max(...report.steps.map((s) => s.longestPauseMilliseconds));
    console.log(
      reportLine(
        `${name}, ${server}: ${interruptions} interruptions of plans of ${there.steps} and ${back.steps} steps, longest pause ${longest} ms`,
        { ...report, steps: report.steps.slice(0, 2) },
      ),
    );
    expect([report.errors, report.wrong]).toEqual([[], []]);
    const all = ends.length * FIRST.length * Math.floor((there.steps + back.steps) / STRIDE);
    // How many exchanges a plan takes depends on timing, a little.
    expect(interruptions).toBeGreaterThanOrEqual(Math.floor(all * 0.7));
  });
});
