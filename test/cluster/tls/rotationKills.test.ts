import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import { loginOf } from "../../support/clients";
import type { Victim } from "../../support/project";
import { LoadedProject } from "../changes/support";

interface Point {
  /** Killed after this was printed … */
  readonly pattern: RegExp;
  /** … and so many milliseconds more, in which steps go out that print nothing. */
  readonly milliseconds?: number;
}

const BEFORE_FORMATION: readonly Point[] = [
  { pattern: /ClusterCertificates sessions updating/ },
  { pattern: /ClusterCertificates sessions updated/ },
  { pattern: /LocalNode \S+ updated/ },
  { pattern: /NodeGuard \S+ updated/ },
];
const IN_FORMATION: readonly Point[] = [
  { pattern: /ClusterFormation sessions updating/ },
  { pattern: /ClusterFormation sessions updating/, milliseconds: 25 },
  { pattern: /ClusterFormation sessions updating/, milliseconds: 50 },
  { pattern: /ClusterFormation sessions updating/, milliseconds: 100 },
];
const VERIFIED: Point = { pattern: /sessions: verified/ };

const TLS = { overlapSeconds: 0 };
const RENEWED = { ...TLS, rotation: "2" };
const NEXT = { ...RENEWED, authorityRotation: "2" };
const STAGES: readonly { name: string; tls: object; points: readonly Point[] }[] = [
  { name: "renewal", tls: RENEWED, points: [...BEFORE_FORMATION, ...IN_FORMATION] },
  { name: "both authorities are trusted", tls: NEXT, points: [...BEFORE_FORMATION, ...IN_FORMATION] },
  { name: "the later one's certificates are shown", tls: NEXT, points: IN_FORMATION },
  { name: "the former is trusted no more", tls: NEXT, points: [...IN_FORMATION, VERIFIED] },
];

/** `up`, killed at this point. @returns false where formation had come to its end */
async function killed({ project }: LoadedProject, victim: Victim, point: Point): Promise<boolean> {
  const run = await project.start();
  try {
    await run.until(point.pattern);
  } catch (error) {
    // A kill that comes late leaves what it was to interrupt done, and the next run does not print it again.
    if (!(await run.result).ok) throw error;
    return false;
  }
  const ended = await Promise.race([
    run.result.then(() => true),
    setTimeout(point.milliseconds ?? 0).then(() => false),
  ]);
  if (!ended) run.kill(victim);
  const { stdout } = await run.result;
  await project.workersGone();
  await project.engine.command(["cancel"]);
  return !ended && !stdout.includes("ClusterFormation sessions updated");
}

describe("rotation of certificates and authority, killed", () => {
  test.skipIf(!process.env.FULL).for<Victim>(["engine", "provider", "both"])(
    "%s, at every stage: the next up gets in and ends the stage; no client error, no restart",
    { timeout: 1_800_000 },
    async (victim, context) => {
      const loaded = await LoadedProject.start(context, "redis-7.0", { tls: TLS });
      const { project, load } = loaded;
      const pids = await project.pids();
      let kills = 0;
      for (const { name, tls, points } of STAGES) {
        loaded.declare({ tls });
        let ended = false;
        for (const point of points) {
          const step = `${name}: ${point.pattern.source} + ${point.milliseconds ?? 0} ms`;
          const wasKilled = await load.during(step, () => killed(loaded, victim, point));
          expect([step, load.errors]).toEqual([step, []]);
          if (wasKilled) kills++;
          // It ended the stage, and clients have to be told of what came out before the next one.
          ended = !wasKilled;
          if (ended) break;
        }
        if (ended) await loaded.expectWhole(name);
        else await loaded.change(name, { tls });
        await load.changeLogin(loginOf(await project.credentials()));
      }
      await project.mustUp();
      expect((await project.mustUp()).stdout).toMatch(/22 unchanged/);
      expect(await project.pids()).toEqual(pids);
      console.log(`${kills} kills`, reportLine(`rotation, ${victim} killed`, await loaded.expectUnharmed()));
    },
  );
});
