import { parseArgs } from "node:util";
import { reconcile } from "../../components/formation/reconcile";
import { redisCli } from "../support/clients";
import { type Benchmark, BenchmarkUsage, median, round } from "./benchmark";
import { Observer } from "./observer";
import { findServer, NODE_TIMEOUT_MILLISECONDS, type Servers, startServers } from "./servers";

/** A node refuses to be writable in the first two seconds of its life: let that pass for both sides. */
const REST_MILLISECONDS = 2_500;
const FORMED_WITHIN_MILLISECONDS = 120_000;

type Side = "ours" | "redisCli";
const SIDES: readonly Side[] = ["ours", "redisCli"];
const NAMES: Record<Side, string> = { ours: "ours", redisCli: "redis-cli --cluster create" };

interface Run {
  /** Seconds until the observer saw the end. */
  readonly formed: number;
  /** Seconds until the command itself returned. */
  readonly returned: number;
  readonly elections: number;
  readonly failures: number;
}

export const formation: Benchmark = {
  name: "formation",
  summary: "running nodes to a cluster, beside redis-cli --cluster create",
  usage:
    "formation [--nodes 6,30,60] [--runs 5] [--only ours|redisCli] [--tls]: under TLS nobody comes in without a login either",
  async run(args) {
    const { sizes, runs, sides, tls } = optionsOf(args);
    const server = await findServer();
    say(
      `${server.engine} ${server.version}, cluster-node-timeout ${NODE_TIMEOUT_MILLISECONDS} ms${tls ? ", TLS everywhere" : ""}, ${runs} alternating runs, seconds from running nodes until every node says ok and all views agree`,
    );
    const figures: object[] = [];
    for (const nodes of sizes) {
      const done: Record<Side, Run[]> = { ours: [], redisCli: [] };
      for (let run = 0; run < runs; run++) {
        for (const side of sides) {
          const servers = await startServers(server, nodes, tls);
          try {
            const result = await measure(side, servers, server.cliPath);
            done[side].push(result);
            say(
              `  ${String(nodes).padStart(3)} nodes, run ${run + 1}, ${NAMES[side].padEnd(26)} ${seconds(result.formed)}, returned after ${seconds(result.returned)}${doubts(result)}`,
            );
          } finally {
            await servers.stop();
          }
        }
      }
      figures.push({ ...figuresOf(nodes, done), tls });
    }
    printTable(figures as Figures[]);
    return figures;
  },
};

async function measure(side: Side, servers: Servers, cliPath: string): Promise<Run> {
  const observer = new Observer(
    servers.running.map(({ address, port }) => ({ address, port })),
    FORMED_WITHIN_MILLISECONDS,
    servers.security?.login,
  );
  try {
    await observer.ready();
    await pause(REST_MILLISECONDS);
    const began = Date.now();
    const returned = (side === "ours" ? formOurs(servers) : formWithCli(servers, cliPath)).then(() => Date.now());
    const [{ at, elections, failures }, end] = await Promise.all([observer.seen(), returned]);
    await timeoutRestored(servers);
    return { formed: (at - began) / 1000, returned: (end - began) / 1000, elections, failures };
  } finally {
    await observer.close();
  }
}

async function formOurs({ goal, security }: Servers): Promise<void> {
  const access = security?.access ?? {};
  await reconcile(goal, { members: [], verified: false }, { access, onProgress: () => {} });
}

async function formWithCli({ running, security }: Servers, cliPath: string): Promise<void> {
  const hosts = running.map(({ address, port }) => `${address}:${port}`);
  const command = ["--cluster", "create", ...hosts, "--cluster-replicas", "1", "--cluster-yes"];
  const { code, text } = await redisCli(cliPath, command, security?.login);
  if (code !== 0) throw new Error(`redis-cli --cluster create: exit code ${code}\n${text}`);
}

/** Whatever was set for the time of forming must be as configured afterwards. */
async function timeoutRestored({ running }: Servers): Promise<void> {
  for (const server of running) {
    const client = server.connect();
    const [, value] = (await client.config("GET", "cluster-node-timeout")) as string[];
    client.disconnect();
    if (value !== String(NODE_TIMEOUT_MILLISECONDS))
      throw new Error(`${server.address}:${server.port} was left with cluster-node-timeout ${value}`);
  }
}

interface Figures {
  readonly nodes: number;
  readonly ours?: number;
  readonly redisCli?: number;
  readonly ratio?: number;
  readonly oursReturned?: number;
  readonly redisCliReturned?: number;
}

function figuresOf(nodes: number, done: Record<Side, readonly Run[]>): object {
  const middle = (side: Side, of: (run: Run) => number) =>
    done[side].length === 0 ? undefined : round(median(done[side].map(of)), 3);
  const ours = middle("ours", (r) => r.formed);
  const redisCli = middle("redisCli", (r) => r.formed);
  return {
    bench: "formation",
    nodes,
    ours,
    redisCli,
    ...(ours !== undefined && redisCli !== undefined ? { ratio: round(redisCli / ours, 1) } : {}),
    oursReturned: middle("ours", (r) => r.returned),
    redisCliReturned: middle("redisCli", (r) => r.returned),
    runs: Math.max(done.ours.length, done.redisCli.length),
    nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS,
  };
}

function printTable(figures: readonly Figures[]): void {
  const cell = (value: number | undefined, unit: string) =>
    (value === undefined ? "-" : `${value}${unit}`).padStart(10);
  say("");
  say("nodes       ours  redis-cli      ratio  | returned: ours  redis-cli");
  for (const f of figures) {
    say(
      `${String(f.nodes).padStart(5)} ${cell(f.ours, " s")} ${cell(f.redisCli, " s")} ${cell(f.ratio, " x")}  |     ${cell(f.oursReturned, " s")} ${cell(f.redisCliReturned, " s")}`,
    );
  }
}

interface Options {
  readonly sizes: number[];
  readonly runs: number;
  readonly sides: readonly Side[];
  readonly tls: boolean;
}

function optionsOf(args: readonly string[]): Options {
  let given: { nodes?: string; runs?: string; only?: string; tls?: boolean };
  try {
    given = parseArgs({
      args: [...args],
      options: {
        nodes: { type: "string" },
        runs: { type: "string" },
        only: { type: "string" },
        tls: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    throw new BenchmarkUsage(error instanceof Error ? error.message : String(error));
  }
  const sizes = (given.nodes ?? "6,30,60").split(",").map(Number);
  const bad = sizes.find((n) => !Number.isInteger(n) || n < 6 || n % 2 !== 0);
  if (bad !== undefined) throw new BenchmarkUsage(`--nodes: ${bad} is not an even number of 6 or more`);
  const runs = Number(given.runs ?? 5);
  if (!Number.isInteger(runs) || runs < 1) throw new BenchmarkUsage(`--runs: ${given.runs} is not a positive number`);
  const sides = given.only === undefined ? SIDES : SIDES.filter((side) => side === given.only);
  if (sides.length === 0) throw new BenchmarkUsage(`--only: ${given.only} is neither ours nor redisCli`);
  return { sizes, runs, sides, tls: given.tls ?? false };
}

const say = (line: string) => process.stdout.write(`${line}\n`);
const seconds = (value: number) => `${value.toFixed(2)} s`;
const doubts = ({ elections, failures }: Run) =>
  elections + failures === 0 ? "" : ` (${failures} failures announced, ${elections} votes asked for)`;
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
