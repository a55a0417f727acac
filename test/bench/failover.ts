import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { keySlot } from "../../components/spec/keySlot";
import { place } from "../../components/topology/place";
import { DeclaredCluster } from "../support/declared";
import { freeEndpoints } from "../support/formation";
import { aSpec } from "../unit/config/specs";
import { type Benchmark, BenchmarkUsage, median, round } from "./benchmark";
import { findServer } from "./servers";

const PROBE_MILLISECONDS = 2;
const WRITABLE_WITHIN_MILLISECONDS = 120_000;
/** A planned failover that has not happened by then was given up by its replica (after 5 s). */
const GIVEN_UP_MILLISECONDS = 6_000;
/** Shards of the plan: whose master is killed, and who hands over. */
const KILLED = 0;
const PLANNED = 1;

interface Figures {
  readonly nodeTimeoutMilliseconds: number;
  /** From SIGKILL of the master until its replica took a write, in milliseconds: every run, sorted. */
  readonly killed: readonly number[];
  /** From CLUSTER FAILOVER until the replica took a write. */
  readonly planned: readonly number[];
}

export const failover: Benchmark = {
  name: "failover",
  summary: "until a shard takes writes again: its master killed, and a planned failover",
  usage: "failover [--timeouts 1000,2000,5000] [--runs 3]",
  async run(args) {
    const { timeouts, runs } = optionsOf(args);
    const program = await findServer();
    say(`${program.engine} ${program.version}, 3 masters with a replica each, ${runs} runs a node timeout`);
    const spec = aSpec({
      engine: { name: program.engine, version: program.version },
      nodeTimeoutMilliseconds: timeouts[0] ?? 0,
    });
    const { shards, zones } = place(spec);
    const endpoints = await freeEndpoints(
      shards.flatMap((s) => s.nodes),
      zones,
    );
    const cluster = await DeclaredCluster.start({ spec, programOf: () => program, endpoints });
    const figures: Figures[] = [];
    try {
      for (const nodeTimeoutMilliseconds of timeouts) {
        // A changed declaration of a running cluster: a live setting.
        cluster.declare({ nodeTimeoutMilliseconds });
        await cluster.reconcile();
        const killed: number[] = [];
        const planned: number[] = [];
        for (let run = 0; run < runs; run++) {
          killed.push(await killMaster(cluster));
          planned.push(await handOver(cluster));
          say(
            `  node timeout ${nodeTimeoutMilliseconds} ms, run ${run + 1}: killed ${Math.round(killed.at(-1) ?? 0)} ms, planned ${Math.round(planned.at(-1) ?? 0)} ms`,
          );
        }
        figures.push({ nodeTimeoutMilliseconds, killed: ascending(killed), planned: ascending(planned) });
      }
    } finally {
      await cluster.stop();
    }
    printTable(figures);
    return {
      bench: "failover",
      server: `${program.engine} ${program.version}`,
      runs,
      timeouts: figures.map(({ nodeTimeoutMilliseconds, killed, planned }) => ({
        nodeTimeoutMilliseconds,
        killed: { median: round(median(killed), 0), min: killed[0], max: killed.at(-1) },
        planned: { median: round(median(planned), 0), min: planned[0], max: planned.at(-1) },
      })),
    };
  },
};

/** SIGKILL of the first shard's master; afterwards it is back and leaders are spread as declared. */
async function killMaster(cluster: DeclaredCluster): Promise<number> {
  const { leader, replica } = await pairOf(cluster, KILLED);
  const began = performance.now();
  const killed = cluster.killNode(leader);
  const at = await writable(cluster, replica, KILLED, WRITABLE_WITHIN_MILLISECONDS);
  if (at === undefined) throw new Error(`${replica} took no write within ${WRITABLE_WITHIN_MILLISECONDS / 1000} s`);
  await killed;
  await cluster.startNode(leader);
  await cluster.reconcile();
  return at - began;
}

/**
 * A planned failover of another shard. The masters vote about one master once in two node timeouts, and a failover that
 * got no votes is given up after five seconds: then it is asked for again, and that one counts.
 */
async function handOver(cluster: DeclaredCluster): Promise<number> {
  const { replica } = await pairOf(cluster, PLANNED);
  for (;;) {
    const began = performance.now();
    await cluster.call(replica, "CLUSTER", "FAILOVER");
    const at = await writable(cluster, replica, PLANNED, GIVEN_UP_MILLISECONDS);
    if (at === undefined) continue;
    await cluster.reconcile();
    return at - began;
  }
}

async function pairOf(cluster: DeclaredCluster, shard: number): Promise<{ leader: string; replica: string }> {
  const { leader, replicas } = (await cluster.layout())[shard] ?? {};
  if (!leader || !replicas?.[0]) throw new Error(`shard ${shard} has no master with a replica`);
  return { leader: leader.name, replica: replicas[0].name };
}

/** Writes to the node until it takes one; says when, or undefined after this time. */
async function writable(
  cluster: DeclaredCluster,
  name: string,
  shard: number,
  withinMilliseconds: number,
): Promise<number | undefined> {
  const slots = cluster.goal.plan.shards[shard]?.slots ?? [];
  const key = Array.from({ length: 100_000 }, (_, i) => `probe:${i}`).find((k) =>
    slots.some(({ start, end }) => keySlot(k) >= start && keySlot(k) <= end),
  );
  const client = cluster.connect(name);
  try {
    for (const end = Date.now() + withinMilliseconds; Date.now() < end; ) {
      const taken = await client.set(key ?? "", "x").then(
        () => true,
        () => false,
      );
      if (taken) return performance.now();
      await setTimeout(PROBE_MILLISECONDS);
    }
    return undefined;
  } finally {
    client.disconnect();
  }
}

function printTable(figures: readonly Figures[]): void {
  const cell = (values: readonly number[], unit: number, digits: number) => {
    const [middle, least, most] = [median(values), values[0] ?? Number.NaN, values.at(-1) ?? Number.NaN];
    return `${(middle / unit).toFixed(digits)} (${(least / unit).toFixed(digits)}–${(most / unit).toFixed(digits)})`;
  };
  say("");
  say("node timeout   killed, seconds   planned, milliseconds   (median, least–most)");
  for (const { nodeTimeoutMilliseconds, killed, planned } of figures) {
    say(
      `${`${nodeTimeoutMilliseconds / 1000} s`.padStart(12)} ${cell(killed, 1_000, 1).padStart(17)} ${cell(planned, 1, 0).padStart(23)}`,
    );
  }
}

function optionsOf(args: readonly string[]): { timeouts: number[]; runs: number } {
  let given: { timeouts?: string; runs?: string };
  try {
    given = parseArgs({
      args: [...args],
      options: { timeouts: { type: "string" }, runs: { type: "string" } },
    }).values;
  } catch (error) {
    throw new BenchmarkUsage(error instanceof Error ? error.message : String(error));
  }
  const timeouts = (given.timeouts ?? "1000,2000,5000").split(",").map(Number);
  const bad = timeouts.find((t) => !Number.isInteger(t) || t < 500);
  if (bad !== undefined) throw new BenchmarkUsage(`--timeouts: ${bad} is not a number of milliseconds of 500 or more`);
  const runs = Number(given.runs ?? 3);
  if (!Number.isInteger(runs) || runs < 1) throw new BenchmarkUsage(`--runs: ${given.runs} is not a positive number`);
  return { timeouts, runs };
}

const ascending = (values: readonly number[]) => values.map((v) => round(v, 0)).sort((a, b) => a - b);
const say = (line: string) => process.stdout.write(`${line}\n`);
