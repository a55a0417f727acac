import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import { isRunning, type LiveRun, type Project } from "../../support/project";
import { LoadedProject } from "./support";

/** The same sequence every time, and another one on demand. */
const SEED = Number(process.env.SEED ?? 1);
/** How long a replica is frozen before its master is killed: what the master acknowledges meanwhile is lost with it. */
const FROZEN_MILLISECONDS = 300;
/** Acknowledgements that were under way at either end. */
const SLACK_MILLISECONDS = 500;
/** A run that meets a dead node may end before the others have elected; then the next one goes on. */
const MOST_UPS = 5;

interface Plan {
  readonly step: string;
  readonly changes: Parameters<LoadedProject["declare"]>[0];
  /**
   * Whether the replica of a master that is killed was cut off before. While slots move, a key that arrived at such a master would be
   * lost with it however old it is, since MIGRATE waits for no replica: there the master is only killed.
   */
  readonly freeze: boolean;
}

const roll = (backlog: number): Plan => ({
  step: "a roll",
  changes: { redisConfig: { "tcp-backlog": String(backlog) } },
  freeze: true,
});
const PLANS: readonly Plan[] = process.env.FULL
  ? [
      { step: "3 → 4 masters", changes: { masters: 4 }, freeze: false },
      roll(201),
      { step: "4 → 3 masters", changes: { masters: 3 }, freeze: false },
      { step: "1 → 2 replicas", changes: { replicasPerMaster: 2 }, freeze: false },
      { step: "2 → 1 replicas", changes: { replicasPerMaster: 1 }, freeze: false },
      roll(202),
      roll(203),
    ]
  : [roll(201)];

/** In `npm run test:full` only: minutes of runs that fail and are resumed. */
describe.skipIf(!process.env.FULL)("a node killed at random while a plan is carried out", () => {
  test(`what WAIT confirmed is there, and nothing is missing but the last moments (seed ${SEED})`, {
    timeout: 1_800_000,
  }, async (context) => {
    const random = randomFrom(SEED);
    const loaded = await LoadedProject.start(context, "redis-7.0", {}, { confirmedBy: 1, restMilliseconds: 3 });
    const { project, load } = loaded;
    const killed: string[] = [];
    let ups = 0;
    for (const { step, changes, freeze } of PLANS) {
      loaded.declare(changes);
      await load.during(step, async () => {
        const run = await project.start();
        await someLineOf(run, random);
        const { node, role, frozen, window } = await killOne(project, random, freeze);
        killed.push(`${node} (${role}, ${frozen} replicas frozen)`);
        if (window) load.allowLoss(window);
        let done = (await run.result).ok;
        for (let again = 1; !done && again <= MOST_UPS; again++) {
          const { ok, stdout, stderr } = await project.up();
          ups++;
          if (!ok && again === MOST_UPS) throw new Error(`up does not mend it:\n${stdout}\n${stderr}`);
          done = ok;
        }
        // A node that died after its part was done is a difference, which the next run mends.
        await project.mustUp();
      });
      expect([step, killed, await load.audit()]).toEqual([step, killed, []]);
    }
    for (const { pid } of project.servers()) expect(isRunning(pid)).toBe(true);
    const report = await load.end();
    console.log(reportLine(`a node killed at random: ${killed.join(", ")}; ${ups} more runs of up`, report));
    expect(report.wrong).toEqual([]);
    expect(report.operations).toBeGreaterThan(1_000);
  });
});

/** Somewhere in the part of a run that changes machines and the cluster. */
async function someLineOf(run: LiveRun, random: () => number): Promise<void> {
  const times = 1 + Math.floor(random() * 8);
  await run.until(/:(LocalNode|NodeGuard|ClusterFormation) \S+ (deleting|deleted|creating|created|updating)/, times);
  await setTimeout(random() * 300);
}

/** Any node that runs; of the ones whose replica is to be frozen, any master. */
async function killOne(project: Project, random: () => number, freeze: boolean) {
  const servers = await Promise.all(
    project
      .servers()
      .filter(({ pid }) => isRunning(pid))
      .map(async (server) => ({ ...server, ...(await roleOf(project, server.node)) })),
  );
  const masters = servers.filter(({ role, replicas }) => role === "master" && replicas.length > 0);
  const candidates = freeze && masters.length > 0 ? masters : servers;
  const victim = candidates[Math.floor(random() * candidates.length)];
  if (!victim) throw new Error("no server runs");
  const from = Date.now() - SLACK_MILLISECONDS;
  const frozen = freeze ? servers.filter(({ port }) => victim.replicas.includes(port)) : [];
  try {
    for (const { pid } of frozen) signal(pid, "SIGSTOP");
    if (frozen.length > 0) await setTimeout(FROZEN_MILLISECONDS);
    signal(victim.pid, "SIGKILL");
  } finally {
    for (const { pid } of frozen) signal(pid, "SIGCONT");
  }
  const window = victim.role === "slave" ? undefined : { from, to: Date.now() + SLACK_MILLISECONDS };
  // The roll may have ended the replica itself meanwhile.
  return { node: victim.node, role: victim.role, frozen: frozen.length, window };
}

/** As ROLE tells it, replicas by their ports, which differ between all nodes here; a server that starts or ends right now tells nothing. */
async function roleOf(project: Project, node: string) {
  const { address, port } = project.endpoint(node);
  const answer = await project.ask({ address, port }, "ROLE").catch(() => ["unknown"]);
  const [role = "unknown", , replicas] = answer as readonly unknown[];
  const followers = role === "master" && Array.isArray(replicas) ? (replicas as [string, string, string][]) : [];
  return { port, role: String(role), replicas: followers.map(([, at]) => Number(at)) };
}

/** A roll may have ended the server by itself meanwhile. */
function signal(pid: number, kind: NodeJS.Signals): void {
  try {
    process.kill(pid, kind);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Numbers from 0 to below 1, the same ones for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
