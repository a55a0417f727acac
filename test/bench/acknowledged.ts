import { parseArgs } from "node:util";
import { place } from "../../components/topology/place";
import { type Acknowledged, type Fault, loseMaster, restore } from "../support/acknowledged";
import { DeclaredCluster } from "../support/declared";
import { freeEndpoints } from "../support/formation";
import { aSpec } from "../unit/config/specs";
import { type Benchmark, BenchmarkUsage, median } from "./benchmark";
import { findServer } from "./servers";

const NODE_TIMEOUT_MILLISECONDS = 1_000;
const GUARD = { minReplicasToWrite: 1, minReplicasMaxLagSeconds: 1 };
const NO_GUARD = { minReplicasToWrite: 0, minReplicasMaxLagSeconds: 10 };
const FAULTS: readonly Fault[] = ["link", "frozen"];
const NAMES: Record<Fault, string> = {
  link: "replica frozen, its link dropped",
  frozen: "replica frozen, its link intact",
};

export const acknowledged: Benchmark = {
  name: "acknowledged",
  summary: "acknowledged writes that a master takes along when its replica was lost before it, guarded and not",
  usage: "acknowledged [--runs 3]",
  async run(args) {
    const runs = runsOf(args);
    const program = await findServer();
    say(
      `${program.engine} ${program.version}, 3 masters with a replica each; one is written to without a pause, loses its replica, then is killed; median of ${runs} runs`,
    );
    const cluster = await start(program);
    const done: Acknowledged[] = [];
    try {
      await cluster.reconcile();
      for (const guard of [NO_GUARD, GUARD]) {
        cluster.declare(guard);
        for (const fault of FAULTS) {
          for (let run = 0; run < runs; run++) {
            await restore(cluster);
            const result = await loseMaster(cluster, fault);
            done.push(result);
            printRun(result);
          }
        }
      }
    } finally {
      await cluster.stop();
    }
    const figures = FAULTS.map((fault) => ({
      fault,
      unguarded: figuresOf(done.filter((r) => r.fault === fault && r.guard.replicas === 0)),
      guarded: figuresOf(done.filter((r) => r.fault === fault && r.guard.replicas > 0)),
    }));
    printTable(figures);
    return {
      bench: "acknowledged",
      server: `${program.engine} ${program.version}`,
      runs,
      guard: { "min-replicas-to-write": 1, "min-replicas-max-lag": 1 },
      nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS,
      faults: figures,
    };
  },
};

async function start(program: Awaited<ReturnType<typeof findServer>>): Promise<DeclaredCluster> {
  const spec = aSpec({
    engine: { name: program.engine, version: program.version },
    nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS,
    ...NO_GUARD,
  });
  const { shards, zones } = place(spec);
  const endpoints = await freeEndpoints(
    shards.flatMap((s) => s.nodes),
    zones,
  );
  return DeclaredCluster.start({ spec, programOf: () => program, endpoints });
}

interface Figures {
  readonly acknowledgedAfterFault: number;
  readonly windowMilliseconds: number;
  readonly lost: number;
  /** All runs together. */
  readonly confirmedByWait: number;
  readonly confirmedLost: number;
}

function figuresOf(runs: readonly Acknowledged[]): Figures {
  return {
    acknowledgedAfterFault: median(runs.map((r) => r.afterFault)),
    windowMilliseconds: median(runs.map((r) => r.windowMilliseconds)),
    lost: median(runs.map((r) => r.lost)),
    confirmedByWait: runs.reduce((sum, r) => sum + r.confirmed, 0),
    confirmedLost: runs.reduce((sum, r) => sum + r.confirmedLost, 0),
  };
}

function printRun({
  fault,
  guard,
  afterFault,
  windowMilliseconds,
  lost,
  confirmed,
  confirmedLost,
}: Acknowledged): void {
  say(
    `  ${NAMES[fault]}, ${guard.replicas > 0 ? "guarded  " : "unguarded"}: ${number(afterFault)} acknowledged in ${windowMilliseconds} ms after the fault, ${number(lost)} lost; ` +
      `of ${number(confirmed)} confirmed by WAIT ${confirmedLost} lost`,
  );
}

function printTable(figures: readonly { fault: Fault; unguarded: Figures; guarded: Figures }[]): void {
  say("");
  say("                                              window  acknowledged      lost  confirmed by WAIT, lost");
  for (const { fault, unguarded, guarded } of figures) {
    for (const [name, f] of [["unguarded", unguarded] as const, ["guarded", guarded] as const]) {
      say(
        `${NAMES[fault].padEnd(33)}${name.padEnd(10)}${`${f.windowMilliseconds} ms`.padStart(9)} ${number(f.acknowledgedAfterFault).padStart(13)} ${number(f.lost).padStart(9)}  ${`${number(f.confirmedByWait)}, ${f.confirmedLost}`.padStart(23)}`,
      );
    }
  }
  say("");
  say("unguarded, the window ends with the master (after 3 s here); guarded, with its own refusal");
}

function runsOf(args: readonly string[]): number {
  let given: { runs?: string };
  try {
    given = parseArgs({ args: [...args], options: { runs: { type: "string" } } }).values;
  } catch (error) {
    throw new BenchmarkUsage(error instanceof Error ? error.message : String(error));
  }
  const runs = Number(given.runs ?? 3);
  if (!Number.isInteger(runs) || runs < 1) throw new BenchmarkUsage(`--runs: ${given.runs} is not a positive number`);
  return runs;
}

const number = (value: number) => Math.round(value).toLocaleString("en-US");
const say = (line: string) => process.stdout.write(`${line}\n`);
