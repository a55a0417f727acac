import { execFile } from "node:child_process";
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import type { FormationGoal, History } from "../../components/formation/goal";
import type { MigrationWay } from "../../components/formation/migrate";
import { reconcile } from "../../components/formation/reconcile";
import { type RunningServer, type ServerProgram, TEST_SERVER_NAMES } from "../support/servers";
import { type Benchmark, BenchmarkUsage, median, round } from "./benchmark";
import { BenchClient, type ClientFigures } from "./migrationClient";
import { goalOf, joinByHand, keysOf, load, startMasters } from "./migrationCluster";
import { type LargeRun, thirtyToThirtyThree } from "./migrationLarge";
import { findServer, toolchain } from "./servers";

const IDLE_MILLISECONDS = 4_000;
const LARGE = "30to33";

type Way = "classic" | "atomic" | "cli10" | "cli1000";
const NAMES: Record<Way, string> = {
  cli10: "redis-cli, pipeline 10",
  cli1000: "redis-cli, pipeline 1000",
  classic: "ours, classic",
  atomic: "ours, atomic",
};

interface Run {
  readonly way: Way;
  readonly keysPerSecond: number;
  readonly seconds: number;
  readonly moved: number;
  readonly idle: ClientFigures;
  readonly during: ClientFigures;
}

export const migration: Benchmark = {
  name: "migration",
  summary:
    "slots to an empty fourth master under a client's load, beside redis-cli --cluster rebalance; 30 masters to 33",
  usage: `migration [--keys 1000000] [--runs 1] [--server ${TEST_SERVER_NAMES.join("|")}, several with commas] [--only cli10,cli1000,classic,atomic,30to33]`,
  async run(args) {
    const { keys, runs, programs, only } = await optionsOf(args);
    const servers: object[] = [];
    for (const program of programs) {
      const ways = waysOf(program).filter((way) => only.length === 0 || only.includes(way));
      if (ways.length > 0) servers.push(await compare(program, ways, keys, runs));
    }
    const [first] = programs;
    const large = first && (only.length === 0 || only.includes(LARGE)) ? await changeLarge(first, keys) : undefined;
    return { bench: "migration", keys, runs, servers, ...(large ? { thirtyToThirtyThree: large } : {}) };
  },
};

/** Ways alternate from run to run, so that what else the machine does meets all of them. */
async function compare(program: ServerProgram, ways: readonly Way[], keys: number, runs: number): Promise<object> {
  const server = `${program.engine} ${program.version}`;
  say(
    `${server}: ${keys.toLocaleString("en-US")} keys of 100 bytes, 3 masters to 4, one client at 1,000 operations a second; ${load1()}`,
  );
  const done: Run[] = [];
  for (let run = 0; run < runs; run++) {
    for (const way of ways) {
      const result = await measure(way, program, keys);
      done.push(result);
      printRun(result);
    }
  }
  const figures = ways.map((way) => figuresOf(way, done));
  printTable(figures);
  say(`${load1()}\n`);
  return { server, ways: figures };
}

/** Wall time means little on a machine that is busy with something else, so this is told beside it. */
const load1 = () => `load average ${loadavg()[0]?.toFixed(1)} on ${availableParallelism()} cores`;

async function changeLarge(program: ServerProgram, keys: number): Promise<LargeRun[]> {
  say(`${program.engine} ${program.version}: ${keys.toLocaleString("en-US")} keys, 30 masters to 33; ${load1()}`);
  const runs = await thirtyToThirtyThree(program, keys);
  for (const run of runs)
    say(
      `  ${run.way.padEnd(10)} ${run.wallSeconds} s for ${run.moved.toLocaleString("en-US")} keys (plan ${run.planMilliseconds} ms, one decision ${run.batchMilliseconds} ms), client p50 ${run.p50} p99 ${run.p99} max ${run.max} ms (idle p99 ${run.idleP99}), ${run.errors} errors, ${run.wrong} wrong`,
    );
  return runs;
}

async function measure(way: Way, program: ServerProgram, keys: number): Promise<Run> {
  const servers = await startMasters(program, 4);
  let client: BenchClient | undefined;
  try {
    const [three, four] = [goalOf(program, servers.slice(0, 3)), goalOf(program, servers)];
    const history = await joined(three, four, servers);
    await load(three, servers, keys);
    client = new BenchClient(servers, keys);
    await client.ready();
    await client.figures();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MILLISECONDS));
    const idle = await client.figures();
    const began = performance.now();
    if (way === "classic" || way === "atomic") await rebalanceOurs(four, history, way);
    else await rebalanceWithCli(servers, program, way === "cli10" ? 10 : 1_000);
    const seconds = (performance.now() - began) / 1000;
    const during = await client.figures();
    const sizes = await keysOf(servers);
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (total !== keys) throw new Error(`${NAMES[way]}: ${total} keys where there were ${keys}`);
    const moved = sizes[3] ?? 0;
    return { way, keysPerSecond: moved / seconds, seconds, moved, idle, during };
  } finally {
    await client?.close();
    await Promise.all(servers.map((server) => server.stop("SIGKILL")));
  }
}

/** Three masters with all slots, and the fourth a member without any: where every way starts from. */
async function joined(three: FormationGoal, four: FormationGoal, servers: readonly RunningServer[]): Promise<History> {
  const { members } = await reconcile(three, { members: [], verified: false }, { access: {}, onProgress: () => {} });
  await joinByHand(servers, 3);
  const name = four.plan.shards[3]?.nodes[0];
  const endpoint = name && four.endpoints[name.name];
  const id = await servers[3]?.connect().cluster("MYID");
  if (!endpoint || id === undefined) throw new Error("the plan has no fourth node");
  const fresh = { name: name.name, shard: name.shard, zone: name.zone, id, endpoint, state: "member" as const };
  return { members: [...members, fresh], verified: true };
}

async function rebalanceOurs(four: FormationGoal, history: History, way: "classic" | "atomic"): Promise<void> {
  const chosen: MigrationWay = way === "classic" ? "classic" : "atomicFromSource";
  const onProgress = process.env.VERBOSE ? say : () => {};
  await reconcile(four, history, { access: {}, onProgress, way: chosen });
}

function rebalanceWithCli(
  servers: readonly RunningServer[],
  { cliPath }: ServerProgram,
  pipeline: number,
): Promise<void> {
  const [first] = servers;
  const seed = `${first?.address}:${first?.port}`;
  const args = ["--cluster", "rebalance", seed, "--cluster-use-empty-masters", "--cluster-pipeline", String(pipeline)];
  return new Promise((resolve, reject) => {
    execFile(cliPath ?? "redis-cli", args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      error
        ? reject(new Error(`redis-cli --cluster rebalance: ${error.message}\n${stdout.slice(-1000)}${stderr}`))
        : resolve(),
    );
  });
}

interface Figures extends Record<string, number | string> {
  readonly way: string;
}

function figuresOf(way: Way, done: readonly Run[]): Figures {
  const own = done.filter((run) => run.way === way);
  const middle = (of: (run: Run) => number, digits: number) => round(median(own.map(of)), digits);
  const base = median(done.filter((run) => run.way === "cli10").map((run) => run.keysPerSecond));
  const base1000 = median(done.filter((run) => run.way === "cli1000").map((run) => run.keysPerSecond));
  const rate = middle((r) => r.keysPerSecond, 0);
  return {
    way,
    keysPerSecond: rate,
    seconds: middle((r) => r.seconds, 2),
    moved: middle((r) => r.moved, 0),
    ...(Number.isNaN(base) ? {} : { timesPipeline10: round(rate / base, 1) }),
    ...(Number.isNaN(base1000) ? {} : { timesPipeline1000: round(rate / base1000, 1) }),
    idleP50: middle((r) => r.idle.p50, 2),
    idleP99: middle((r) => r.idle.p99, 2),
    p50: middle((r) => r.during.p50, 2),
    p99: middle((r) => r.during.p99, 2),
    max: middle((r) => r.during.max, 1),
    errors: own.reduce((sum, r) => sum + r.during.errors + r.idle.errors, 0),
    wrong: own.reduce((sum, r) => sum + r.during.wrong + r.idle.wrong, 0),
  };
}

function printRun({ way, keysPerSecond, seconds, moved, idle, during }: Run): void {
  say(
    `  ${NAMES[way].padEnd(24)} ${Math.round(keysPerSecond).toLocaleString("en-US").padStart(9)} keys/s (${moved.toLocaleString("en-US")} in ${seconds.toFixed(2)} s), ` +
      `client p50 ${during.p50.toFixed(2)} p99 ${during.p99.toFixed(1)} max ${during.max.toFixed(0)} ms (idle ${idle.p50.toFixed(2)} / ${idle.p99.toFixed(1)} / ${idle.max.toFixed(0)}), ${during.errors} errors, ${during.wrong} wrong`,
  );
}

function printTable(figures: readonly Figures[]): void {
  const cell = (value: number | string | undefined, width = 9) => String(value ?? "-").padStart(width);
  say("");
  say("way                          keys/s   x p.10 x p.1000 | client idle p99      p50      p99      max   (ms)");
  for (const f of figures) {
    say(
      `${NAMES[f.way as Way].padEnd(24)} ${cell(f.keysPerSecond, 10)} ${cell(f.timesPipeline10, 8)} ${cell(f.timesPipeline1000, 8)} | ${cell(f.idleP99, 15)} ${cell(f.p50, 8)} ${cell(f.p99, 8)} ${cell(f.max, 8)}`,
    );
  }
}

function waysOf({ engine, version }: ServerProgram): readonly Way[] {
  const atomic = engine === "valkey" && Number.parseInt(version, 10) >= 9;
  return atomic ? ["cli10", "cli1000", "classic", "atomic"] : ["cli10", "cli1000", "classic"];
}

interface Options {
  readonly keys: number;
  readonly runs: number;
  readonly programs: readonly ServerProgram[];
  /** Empty: everything. */
  readonly only: readonly string[];
}

async function optionsOf(args: readonly string[]): Promise<Options> {
  let given: { keys?: string; runs?: string; server?: string; only?: string };
  try {
    const text = { type: "string" } as const;
    given = parseArgs({ args: [...args], options: { keys: text, runs: text, server: text, only: text } }).values;
  } catch (error) {
    throw new BenchmarkUsage(error instanceof Error ? error.message : String(error));
  }
  const keys = Number(given.keys ?? 1_000_000);
  if (!Number.isInteger(keys) || keys < 1_000) throw new BenchmarkUsage(`--keys: ${given.keys} is not 1000 or more`);
  const runs = Number(given.runs ?? 1);
  if (!Number.isInteger(runs) || runs < 1) throw new BenchmarkUsage(`--runs: ${given.runs} is not a positive number`);
  const only = given.only?.split(",") ?? [];
  const known = [...Object.keys(NAMES), LARGE];
  const unknown = only.filter((way) => !known.includes(way));
  if (unknown.length > 0) throw new BenchmarkUsage(`--only: ${unknown.join(", ")} is none of ${known.join(", ")}`);
  return { keys, runs, programs: await programsOf(given.server?.split(",")), only };
}

/** What this machine runs, and the newest Valkey for its atomic migration; or those that were named. */
async function programsOf(names: readonly string[] | undefined): Promise<ServerProgram[]> {
  const unknown = names?.filter((name) => !TEST_SERVER_NAMES.some((known) => known === name)) ?? [];
  if (unknown.length > 0)
    throw new BenchmarkUsage(`--server: ${unknown.join(", ")} is none of ${TEST_SERVER_NAMES.join(", ")}`);
  const { ensureTestServers } = await toolchain();
  const servers = await ensureTestServers({ log: (line) => process.stderr.write(`${line}\n`) });
  const programs = new Map(Object.entries(servers));
  const wanted = names ?? ["valkey-9.1"];
  const chosen = wanted.flatMap((name) => programs.get(name) ?? []);
  return names ? chosen : [await findServer(), ...chosen];
}

const say = (line: string) => process.stdout.write(`${line}\n`);
