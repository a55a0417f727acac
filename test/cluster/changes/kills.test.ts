import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import type { Victim } from "../../support/project";
import { eventsOf, LoadedProject } from "./support";

const VICTIMS: readonly Victim[] = ["engine", "provider", "both"];

/** A roll is killed this many times, each time further on, before it may end: every kill but the first hits a resumed run. */
const KILLS_A_ROLL = process.env.FULL ? 6 : 2;

interface Point {
  readonly kind: string;
  readonly node: string;
  readonly event: string;
  readonly victim: Victim;
}

const describePoint = ({ kind, node, event, victim }: Point) => `${victim}, with ${kind} ${node} ${event}`;

/**
 * Every point with every victim, dealt out to rolls so that each roll meets its points in the order in which it comes to
 * them: the first roll gets the points 0, n/6, 2n/6, …, and the victims change from one point to the next.
 */
function dealOut(steps: readonly Omit<Point, "victim">[]): Point[][] {
  const apart = Math.ceil(steps.length / KILLS_A_ROLL);
  const rolls = Array.from({ length: apart }, (_, first) => steps.filter((_, i) => i % apart === first));
  return VICTIMS.flatMap((_, turn) =>
    rolls.map((points, r) =>
      points.map((p, i): Point => ({ ...p, victim: VICTIMS[(turn + r + i) % VICTIMS.length] ?? "both" })),
    ),
  );
}

/** In `npm run test:full` only: each roll takes minutes. */
describe.skipIf(!process.env.FULL)("a roll that is killed after any of its steps, under a load that is checked", () => {
  test("resumed, it goes on to the next node; nothing is lost and no client sees an error", {
    timeout: 1_800_000,
  }, async (context) => {
    const loaded = await LoadedProject.start(context, "redis-7.0", {}, { restMilliseconds: 3 });
    const { project, load } = loaded;
    let backlog = 200;
    const nextRoll = () => ({ redisConfig: { "tcp-backlog": String(++backlog) } });

    const uninterrupted = await loaded.change("a roll that nobody interrupts", nextRoll());
    const steps = eventsOf(uninterrupted).filter(({ event }) => event === "deleted" || event === "created");
    // Six nodes, each with its guard, each replaced.
    expect(steps).toHaveLength(24);

    const rolls = dealOut(steps);
    let killed = 0;
    for (const points of rolls) {
      const name = `killed: ${points.map(describePoint).join("; ")}`;
      loaded.declare(nextRoll());
      await load.during(name, async () => {
        for (const { kind, node, event, victim } of points) {
          const run = await project.start();
          // The run may come by after it was interrupted in the middle of the next step, and has less to do then.
          const reached = await run.until(new RegExp(`:${kind} ${node}(-guard)? ${event}\\b`)).then(
            () => true,
            () => false,
          );
          if (reached) {
            run.kill(victim);
            killed++;
          }
          await run.result;
          await project.workersGone();
          if (victim !== "provider") await project.engine.command(["cancel"]);
          expect([name, await load.audit(), load.errors]).toEqual([name, [], []]);
        }
        await project.mustUp();
      });
      await loaded.expectWhole(name);
    }
    const report = await loaded.expectUnharmed({ killed: true });
    const longest = Math.max(...report.steps.map((s) => s.longestPauseMilliseconds));
    console.log(
      reportLine(`a roll of 6 nodes, killed ${killed} times, longest pause ${longest} ms`, {
        ...report,
        steps: report.steps.slice(0, 1),
      }),
    );
    expect(killed).toBeGreaterThanOrEqual(Math.floor(rolls.flat().length * 0.9));
  });
});
