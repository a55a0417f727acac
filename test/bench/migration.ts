import { execFile } from "node:child_process";
import { connect } from "node:net";
import { parseArgs } from "node:util";
import type { FormationGoal, History } from "../../components/formation/goal";
import type { MigrationWay } from "../../components/formation/migrate";
import { reconcile } from "../../components/formation/reconcile";
import { keySlot } from "../../components/spec/keySlot";
import type { ClusterSpec } from "../../components/spec/spec";
import { place } from "../../components/topology/place";
import { type RunningServer, type ServerProgram, startServer, TEST_SERVER_NAMES } from "../support/servers";
import { type Benchmark, BenchmarkUsage, median, round } from "./benchmark";
import { BenchClient, type ClientFigures, contentOf, keyOf } from "./migrationClient";
import { findServer, NODE_TIMEOUT_MILLISECONDS, toolchain } from "./servers";

const IDLE_MILLISECONDS = 4_000;
const LOADED_AT_ONCE = 1_000;

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
  summary: "slots to an empty fourth master under a client's load, beside redis-cli --cluster rebalance",
  usage: `migration [--keys 1000000] [--runs 1] [--server ${TEST_SERVER_NAMES.join("|")}] [--only cli10,cli1000,classic,atomic]`,
  async run(args) {
    const { keys, runs, program, ways } = await optionsOf(args);
    say(
      `${program.engine} ${program.version}: ${keys.toLocaleString("en-US")} keys of 100 bytes, 3 masters to 4, one client at 1,000 operations a second`,
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
    return { bench: "migration", server: `${program.engine} ${program.version}`, keys, runs, ways: figures };
  },
};

async function measure(way: Way, program: ServerProgram, keys: number): Promise<Run> {
  const cluster = await startMasters(program);
  let client: BenchClient | undefined;
  try {
    const history = await joined(cluster);
    await load(cluster, keys);
    client = new BenchClient(
      cluster.servers.map(({ address, port }) => ({ address, port })),
      keys,
    );
    await client.ready();
    await client.figures();
    await pause(IDLE_MILLISECONDS);
    const idle = await client.figures();
    const began = Date.now();
    if (way === "classic" || way === "atomic") await rebalanceOurs(cluster, history, way);
    else await rebalanceWithCli(cluster, program, way === "cli10" ? 10 : 1_000);
    const seconds = (Date.now() - began) / 1000;
    const during = await client.figures();
    const sizes = await Promise.all(cluster.servers.map((server) => server.connect().dbsize()));
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (total !== keys) throw new Error(`${NAMES[way]}: ${total} keys where there were ${keys}`);
    const moved = sizes[3] ?? 0;
    return { way, keysPerSecond: moved / seconds, seconds, moved, idle, during };
  } finally {
    await client?.close();
    await Promise.all(cluster.servers.map((server) => server.stop("SIGKILL")));
  }
}

interface Masters {
  readonly servers: readonly RunningServer[];
  readonly three: FormationGoal;
  readonly four: FormationGoal;
}

async function startMasters(program: ServerProgram): Promise<Masters> {
  const addresses = ["127.0.1.1", "127.0.2.1", "127.0.3.1", "127.0.1.1"];
  const servers: RunningServer[] = [];
  for (const address of addresses) {
    const conf = [
      "cluster-enabled yes",
      `cluster-node-timeout ${NODE_TIMEOUT_MILLISECONDS}`,
      `cluster-announce-ip ${address}`,
      'save ""',
      "appendonly no",
      "",
    ];
    servers.push(await startServer({ server: program, address, conf: conf.join("\n"), timeoutMilliseconds: 30_000 }));
  }
  return { servers, three: goalOf(program, servers.slice(0, 3)), four: goalOf(program, servers) };
}

function goalOf(program: ServerProgram, servers: readonly RunningServer[]): FormationGoal {
  const spec = { name: "bench", masters: servers.length, replicasPerMaster: 0, zones: ["a", "b", "c"] };
  // Placement looks at nothing else.
  const plan = place({
    ...spec,
    minReplicasToWrite: 0,
    requireFullCoverage: true,
    allowReadsWhenDown: false,
  } as unknown as ClusterSpec);
  const endpoints = Object.fromEntries(
    plan.shards.flatMap(({ nodes }, i) => {
      const server = servers[i];
      const [node] = nodes;
      return server && node
        ? [[node.name, { address: server.address, port: server.port, busPort: server.port + 10_000 }] as const]
        : [];
    }),
  );
  return {
    cluster: spec.name,
    engine: { name: program.engine, version: program.version },
    plan,
    endpoints,
    settings: { "cluster-node-timeout": String(NODE_TIMEOUT_MILLISECONDS) },
    nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS,
  };
}

/** Three masters with all slots, and the fourth a member without any: where every way starts from. */
async function joined({ three, four, servers }: Masters): Promise<History> {
  const { members } = await reconcile(three, { members: [], verified: false }, { access: {}, onProgress: () => {} });
  const fourth = servers[3];
  const first = servers[0];
  if (!fourth || !first) throw new Error("there are no servers");
  const [a, b] = [first.connect(), fourth.connect()];
  const id = await b.cluster("MYID");
  await b.call("CLUSTER", "MEET", first.address, first.port);
  const knows = async () =>
    (await Promise.all(servers.map((s) => s.connect().call("CLUSTER", "NODES")))).every(
      (view) =>
        String(view).includes(id) &&
        !String(view).includes("handshake") &&
        String(view).trim().split("\n").length === 4,
    );
  while (!(await knows())) await pause(50);
  a.disconnect();
  b.disconnect();
  const name = four.plan.shards[3]?.nodes[0];
  const endpoint = name && four.endpoints[name.name];
  if (!endpoint) throw new Error("the plan has no fourth node");
  const fresh = { name: name.name, shard: name.shard, zone: name.zone, id, endpoint, state: "member" as const };
  return { members: [...members, fresh], verified: true };
}

/** Written straight to the owners, without a client library: a million keys in seconds. */
async function load({ three, servers }: Masters, keys: number): Promise<void> {
  const owners = new Uint8Array(16_384);
  three.plan.shards.forEach(({ slots }, i) => {
    for (const { start, end } of slots) owners.fill(i, start, end + 1);
  });
  const sockets = servers.slice(0, 3).map(({ address, port }) => connect({ host: address, port }));
  const answered = sockets.map(() => 0);
  const sent = sockets.map(() => 0);
  for (const [i, socket] of sockets.entries()) {
    socket.on("data", (data) => {
      for (const byte of data) if (byte === 10) answered[i] = (answered[i] ?? 0) + 1;
    });
  }
  for (let at = 0; at < keys; at += LOADED_AT_ONCE) {
    const texts = sockets.map(() => [] as string[]);
    for (let i = at; i < Math.min(keys, at + LOADED_AT_ONCE); i++) {
      const key = keyOf(i);
      const owner = owners[keySlot(key)] ?? 0;
      texts[owner]?.push(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$100\r\n${contentOf(i)}\r\n`);
      sent[owner] = (sent[owner] ?? 0) + 1;
    }
    for (const [i, socket] of sockets.entries()) {
      if (!socket.write((texts[i] ?? []).join(""))) await new Promise((resolve) => socket.once("drain", resolve));
    }
  }
  while (sent.some((n, i) => (answered[i] ?? 0) < n)) await pause(10);
  for (const socket of sockets) socket.destroy();
}

async function rebalanceOurs({ four }: Masters, history: History, way: "classic" | "atomic"): Promise<void> {
  const chosen: MigrationWay = way === "classic" ? "classic" : "atomicFromSource";
  const onProgress = process.env.VERBOSE ? say : () => {};
  await reconcile(four, history, { access: {}, onProgress, way: chosen });
}

function rebalanceWithCli({ servers }: Masters, { cliPath }: ServerProgram, pipeline: number): Promise<void> {
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

async function optionsOf(
  args: readonly string[],
): Promise<{ keys: number; runs: number; program: ServerProgram; ways: readonly Way[] }> {
  let given: { keys?: string; runs?: string; server?: string; only?: string };
  try {
    given = parseArgs({
      args: [...args],
      options: {
        keys: { type: "string" },
        runs: { type: "string" },
        server: { type: "string" },
        only: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new BenchmarkUsage(error instanceof Error ? error.message : String(error));
  }
  const keys = Number(given.keys ?? 1_000_000);
  if (!Number.isInteger(keys) || keys < 1_000) throw new BenchmarkUsage(`--keys: ${given.keys} is not 1000 or more`);
  const runs = Number(given.runs ?? 1);
  if (!Number.isInteger(runs) || runs < 1) throw new BenchmarkUsage(`--runs: ${given.runs} is not a positive number`);
  const program = given.server === undefined ? await findServer() : await namedServer(given.server);
  const able = program.engine === "valkey" && Number.parseInt(program.version, 10) >= 9;
  const known: readonly Way[] = able ? ["cli10", "cli1000", "classic", "atomic"] : ["cli10", "cli1000", "classic"];
  const ways = given.only === undefined ? known : known.filter((way) => given.only?.split(",").includes(way));
  if (ways.length === 0) throw new BenchmarkUsage(`--only: ${given.only} is none of ${known.join(", ")}`);
  return { keys, runs, program, ways };
}

async function namedServer(name: string): Promise<ServerProgram> {
  const known = TEST_SERVER_NAMES.find((n) => n === name);
  if (!known) throw new BenchmarkUsage(`--server: ${name} is none of ${TEST_SERVER_NAMES.join(", ")}`);
  const { ensureTestServers } = await toolchain();
  return (await ensureTestServers({ log: (line) => process.stderr.write(`${line}\n`) }))[known];
}

const say = (line: string) => process.stdout.write(`${line}\n`);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
