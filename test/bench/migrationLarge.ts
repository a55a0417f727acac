import { execFile } from "node:child_process";
import { asDeclared, forecast } from "../../components/formation/forecast";
import type { FormationGoal, History } from "../../components/formation/goal";
import { observe } from "../../components/formation/observe";
import { outlineChange } from "../../components/formation/outline";
import { plan } from "../../components/formation/plan";
import { reconcile } from "../../components/formation/reconcile";
import { Connections } from "../../components/formation/wire";
import type { RunningServer, ServerProgram } from "../support/servers";
import { median, round } from "./benchmark";
import { BenchClient, type ClientFigures } from "./migrationClient";
import { goalOf, joinByHand, keysOf, load, startMasters } from "./migrationCluster";

const BEFORE = 30;
const AFTER = 33;
const IDLE_MILLISECONDS = 3_000;
const PLANNED_TIMES = 15;

export interface LargeRun extends Record<string, number | string> {
  readonly way: string;
  /** Everything that preview computes from an observation: every step, and its text. */
  readonly planMilliseconds: number;
  /** One decision of the loop. */
  readonly batchMilliseconds: number;
  readonly wallSeconds: number;
  readonly moved: number;
}

/** 30 masters, three more: how long deciding takes, and how long the change, from running servers to verified. */
export async function thirtyToThirtyThree(program: ServerProgram, keys: number): Promise<LargeRun[]> {
  const runs: LargeRun[] = [];
  for (const way of ["redis-cli", "ours"] as const) runs.push(await change(way, program, keys));
  return runs;
}

async function change(way: "redis-cli" | "ours", program: ServerProgram, keys: number): Promise<LargeRun> {
  const servers = await startMasters(program, AFTER);
  let client: BenchClient | undefined;
  try {
    const before = goalOf(program, servers.slice(0, BEFORE));
    const goal = goalOf(program, servers);
    const { members } = await reconcile(before, { members: [], verified: false }, { access: {}, onProgress: () => {} });
    const history: History = { members, verified: true };
    await load(before, servers, keys);
    const decided = await planTime(before, goal, history);
    if (way === "redis-cli") await joinByHand(servers, BEFORE);
    client = new BenchClient(servers, keys);
    await client.ready();
    await client.figures();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MILLISECONDS));
    const idle = await client.figures();
    const began = performance.now();
    if (way === "redis-cli") await rebalance(program, servers);
    else await reconcile(goal, history, { access: {}, onProgress: () => {} });
    const wallSeconds = round((performance.now() - began) / 1000, 1);
    const during = await client.figures();
    const sizes = await keysOf(servers);
    const total = sizes.reduce((sum, n) => sum + n, 0);
    if (total !== keys) throw new Error(`30 → 33 by ${way}: ${total} keys where there were ${keys}`);
    const moved = sizes.slice(BEFORE).reduce((sum, n) => sum + n, 0);
    return { way, ...decided, wallSeconds, moved, ...clientOf(idle, during) };
  } finally {
    await client?.close();
    await Promise.all(servers.map((server) => server.stop("SIGKILL")));
  }
}

const clientOf = (idle: ClientFigures, during: ClientFigures) => ({
  idleP99: round(idle.p99, 2),
  p50: round(during.p50, 2),
  p99: round(during.p99, 2),
  max: round(during.max, 1),
  errors: during.errors + idle.errors,
  wrong: during.wrong + idle.wrong,
});

/** On what a real look at the cluster brought; only deciding is measured, no server is asked. */
async function planTime(
  before: FormationGoal,
  goal: FormationGoal,
  history: History,
): Promise<{ planMilliseconds: number; batchMilliseconds: number }> {
  const connections = new Connections("bench-observer");
  try {
    const observation = await observe(before, connections, history.members);
    const evidence = { observation, unfinished: "", recorded: [], recordedAt: "" };
    const declared = asDeclared(before, goal, observation);
    const { steps } = forecast(goal, history, declared);
    if (!steps.some((step) => step.do === "migrateSlots")) throw new Error("the plan moves nothing");
    const timed = (act: () => unknown) => {
      const times = Array.from({ length: PLANNED_TIMES }, () => {
        const began = performance.now();
        act();
        return performance.now() - began;
      });
      return round(median(times), 1);
    };
    return {
      planMilliseconds: timed(() => outlineChange(before, goal, history, evidence)),
      batchMilliseconds: timed(() => plan(goal, history, declared)),
    };
  } finally {
    connections.close();
  }
}

function rebalance({ cliPath }: ServerProgram, servers: readonly RunningServer[]): Promise<void> {
  const [first] = servers;
  const args = ["--cluster", "rebalance", `${first?.address}:${first?.port}`, "--cluster-use-empty-masters"];
  return new Promise((resolve, reject) => {
    execFile(cliPath ?? "redis-cli", args, { maxBuffer: 64 * 1024 * 1024 }, (error, stdout) =>
      error ? reject(new Error(`redis-cli: ${error.message}\n${stdout.slice(-1000)}`)) : resolve(),
    );
  });
}
