import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { parseClusterNodes } from "./clusterNodes";
import { insist, type MigrationContext, type Moved, RoundInterrupted, sourceOf } from "./migrateContext";
import { refuseWithoutRoom } from "./migrateProbe";
import type { MigrateSlots } from "./rebalance";
import { countSlots, expandSlots } from "./slots";
import type { Command, Connections } from "./wire";

const POLL_MILLISECONDS = 25;
/** A job that has not acknowledged anything for this long is given up; the servers give up by themselves, later. */
const STUCK_MILLISECONDS = 60_000;
/** Failed jobs of a pair, in one run, after which its slots go the classic way: heavy writes can fail every one of them. */
const ATTEMPTS = 3;

/** Failures of each pair in this run. */
const failures = new WeakMap<Connections, Map<string, number>>();

/** One entry of CLUSTER GETSLOTMIGRATIONS. */
interface Job {
  readonly name: string;
  readonly operation: string;
  readonly target: string;
  readonly state: string;
  readonly message: string;
}

/**
 * Lets the source hand its slots over by itself (Valkey 9 and later): it streams a snapshot and what is written meanwhile, stops
 * writers for the last of it, and ownership changes for all slots at once. No slot is ever open, so no client is sent to
 * ask, and no multi-key command has to be tried again. Until the end the source owns everything: whatever is killed on
 * the way, nothing is to be mended.
 * @returns undefined where this pair has to go the classic way
 */
export async function migrateFromSource(step: MigrateSlots, context: MigrationContext): Promise<Moved | undefined> {
  const { connections } = context;
  const pair = `${step.nodeId} ${step.toId}`;
  const failed = failures.get(connections) ?? new Map<string, number>();
  failures.set(connections, failed);
  if ((failed.get(pair) ?? 0) >= ATTEMPTS) return undefined;
  try {
    // A killed run's job goes on without it; its outcome is the next observation's matter.
    if (await settled(step, context)) return { slots: 0, keys: 0 };
    await refuseWithoutRoom(step, connections);
    const keys = await keysOf(step, context);
    const ranges = step.slots.flatMap(({ start, end }) => [start, end]);
    // One block of ranges is one job, so the whole pair changes owners at once.
    const command: Command = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", ...ranges, "NODE", step.toId];
    const [begun] = await connections.send(sourceOf(step, context), [command]);
    if (!begun?.ok) {
      if (begun?.error.name !== "ReplyError") throw new RoundInterrupted(`${step.node} does not answer`);
      // Slots that are open, a version that cannot: the classic way deals with both.
      return undefined;
    }
    const trouble = await settled(step, context);
    if (await owned(step, context)) return { slots: countSlots(step.slots), keys };
    failed.set(pair, (failed.get(pair) ?? 0) + 1);
    return { slots: 0, keys: 0, trouble: trouble ?? `${step.node} did not hand its slots over to ${step.to}` };
  } catch (error) {
    if (!(error instanceof RoundInterrupted)) throw error;
    return { slots: 0, keys: 0, trouble: error.message };
  }
}

/**
 * Waits until no job of this pair is under way. @returns the last one's message if there was any to wait for.
 * When it is time to stop, the job is cancelled: nobody would watch it, and its end is as if it had never begun.
 */
async function settled(step: MigrateSlots, context: MigrationContext): Promise<string | undefined> {
  const source = sourceOf(step, context);
  let waited: string | undefined;
  for (const until = Date.now() + STUCK_MILLISECONDS; ; ) {
    const stop = context.stopReason();
    if (stop || Date.now() > until) {
      await context.connections.send(source, [["CLUSTER", "CANCELSLOTMIGRATIONS"]]);
      throw new RoundInterrupted(
        stop ?? `${step.node} has been handing slots to ${step.to} for ${STUCK_MILLISECONDS / 1000} s`,
      );
    }
    const own = (await jobs(source, step, context)).filter(
      (job) => job.operation === "EXPORT" && job.target === step.toId,
    );
    const open = own.filter((job) => !/^(success|failed|cancelled|canceled)$/.test(job.state));
    const last = own.at(-1) ?? own[0];
    if (open.length === 0)
      return waited === undefined
        ? undefined
        : `${step.node} → ${step.to}: ${last?.state ?? "gone"} ${last?.message ?? ""}`.trim();
    waited = open[0]?.state;
    await setTimeout(POLL_MILLISECONDS);
  }
}

async function jobs(source: NodeEndpoint, step: MigrateSlots, context: MigrationContext): Promise<Job[]> {
  const [answer] = await insist(context, source, step.node, [["CLUSTER", "GETSLOTMIGRATIONS"]], {
    expected: /unknown/i,
  });
  if (!answer?.ok || !Array.isArray(answer.value)) return [];
  return answer.value.map((entry) => {
    const flat = (
      entry instanceof Map ? [...entry].flat() : Array.isArray(entry) ? entry : Object.entries(entry).flat()
    ).map(String);
    const field = (name: string) => flat[flat.indexOf(name) + 1] ?? "";
    return {
      name: field("name"),
      operation: field("operation"),
      target: field("target_node"),
      state: field("state"),
      message: field("message"),
    };
  });
}

/** The list of jobs lives in memory and is short: what counts is whom both ends name as the owner. */
async function owned(step: MigrateSlots, context: MigrationContext): Promise<boolean> {
  const wanted = expandSlots(step.slots);
  const views = await Promise.all(
    (
      [
        [step.node, sourceOf(step, context)],
        [step.to, step.toEndpoint],
      ] as const
    ).map(async ([node, endpoint]) => {
      const [answer] = await insist(context, endpoint, node, [["CLUSTER", "NODES"]]);
      const entry = parseClusterNodes(answer?.ok ? String(answer.value) : "").find((e) => e.id === step.toId);
      return new Set(expandSlots(entry?.slots ?? []));
    }),
  );
  return views.every((slots) => wanted.every((slot) => slots.has(slot)));
}

async function keysOf(step: MigrateSlots, context: MigrationContext): Promise<number> {
  const commands = expandSlots(step.slots).map((slot): Command => ["CLUSTER", "COUNTKEYSINSLOT", slot]);
  const counts = await insist(context, sourceOf(step, context), step.node, commands);
  return counts.reduce((sum, answer) => sum + (answer.ok ? Number(answer.value) : 0), 0);
}
