import { parseClusterNodes } from "./clusterNodes";
import { insist, type MigrationContext, type Moved, RoundInterrupted, sourceOf } from "./migrateContext";
import { jobsSettled } from "./migrateJobs";
import { refuseWithoutRoom } from "./migrateProbe";
import { dataSetOf } from "./migrateSizes";
import type { MigrateSlots } from "./rebalance";
import { expandSlots, toRanges } from "./slots";
import type { Command, Connections } from "./wire";

/** Failed jobs of a pair, in one run, after which its slots go the classic way: heavy writes can fail every one of them. */
const ATTEMPTS = 3;
/** What one job may carry: each ends with a pause for writers, and each that fails or is cancelled has moved nothing. */
const JOB_BYTES = 4 * 1024 ** 3;

/** Failures of each pair in this run. */
const failures = new WeakMap<Connections, Map<string, number>>();

const NOTHING: Moved = { slots: 0, keys: 0, bytes: 0 };

/**
 * Lets the source hand its slots over by itself (Valkey 9 and later): it streams a snapshot and what is written meanwhile, stops
 * writers for the last of it, and ownership changes for all slots at once. No slot is ever open, so no client is sent to
 * ask, and no multi-key command has to be tried again. Until the end the source owns everything: whatever is killed on
 * the way, nothing is to be mended. Keys of a job under way are hidden on the target, DBSIZE included.
 * @returns undefined where this pair has to go the classic way
 */
export async function migrateFromSource(step: MigrateSlots, context: MigrationContext): Promise<Moved | undefined> {
  const { connections } = context;
  const pair = `${step.nodeId} ${step.toId}`;
  const failed = failures.get(connections) ?? new Map<string, number>();
  failures.set(connections, failed);
  if ((failed.get(pair) ?? 0) >= ATTEMPTS) return undefined;
  if (context.timeIsUp()) return NOTHING;
  try {
    await refuseWithoutRoom(step, connections);
    // Somebody else's, since a run begins when there is none: when it has ended, the cluster is another one.
    if ((await settled(step, context)).waited) return NOTHING;
    const { slots, keys, bytes } = await oneJob(step, context);
    // One block of ranges is one job, so all of them change owners at once.
    const ranges = toRanges(slots).flatMap(({ start, end }) => [start, end]);
    const command: Command = ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", ...ranges, "NODE", step.toId];
    const [begun] = await connections.send(sourceOf(step, context), [command]);
    if (!begun?.ok) {
      if (begun?.error.name !== "ReplyError") throw new RoundInterrupted(`${step.node} does not answer`);
      // Slots that are open, or something that this server cannot do: the classic way deals with both.
      context.say(
        `${step.node} does not hand slots to ${step.to} atomically (${begun.error.message}); they go key by key`,
      );
      return undefined;
    }
    const { trouble } = await settled(step, context);
    if (await owned(step, slots, context)) return { slots: slots.length, keys, bytes };
    if (context.timeIsUp()) return NOTHING;
    const times = (failed.get(pair) ?? 0) + 1;
    failed.set(pair, times);
    if (times === ATTEMPTS) context.say(`${trouble}, ${ATTEMPTS} times in a row; these slots go key by key`);
    return { ...NOTHING, trouble };
  } catch (error) {
    if (!(error instanceof RoundInterrupted)) throw error;
    return { ...NOTHING, trouble: error.message };
  }
}

/** As many of the slots, in order, as one job may carry; one at the least. */
async function oneJob(
  step: MigrateSlots,
  context: MigrationContext,
): Promise<{ slots: number[]; keys: number; bytes: number }> {
  const source = sourceOf(step, context);
  const wanted = expandSlots(step.slots);
  const commands = wanted.map((slot): Command => ["CLUSTER", "COUNTKEYSINSLOT", slot]);
  const counts = await insist(context, source, step.node, commands);
  const data = await dataSetOf(context, source, step.node);
  const average = data.bytes / Math.max(1, data.keys);
  const slots: number[] = [];
  let keys = 0;
  for (const [i, slot] of wanted.entries()) {
    const answer = counts[i];
    const more = answer?.ok ? Number(answer.value) : 0;
    if (slots.length > 0 && (keys + more) * average > JOB_BYTES) break;
    slots.push(slot);
    keys += more;
  }
  return { slots, keys, bytes: Math.round(keys * average) };
}

/**
 * Waits until the source hands slots to nobody. When it is time to stop, its job is cancelled, since nobody would watch it.
 * @returns whether there was anything to wait for, and how the newest job ended, in words
 */
async function settled(step: MigrateSlots, context: MigrationContext): Promise<{ waited: boolean; trouble: string }> {
  const stop = () => context.stopReason() ?? (context.timeIsUp() ? "it is time to stop" : undefined);
  const ended = await jobsSettled(sourceOf(step, context), context.connections, stop);
  const pair = `${step.node} → ${step.to}`;
  if (ended.end === "silent") throw new RoundInterrupted(`${step.node} does not answer: ${ended.reason}`);
  if (ended.end === "cancelled") {
    const stopped = context.stopReason();
    if (stopped) throw new RoundInterrupted(stopped);
    return { waited: true, trouble: `${pair}: ${ended.reason}` };
  }
  const [job] = ended.jobs;
  return {
    waited: ended.waited,
    trouble: `${pair}: the handover ended as ${job?.state ?? "unknown"} (${job?.message ?? ""})`,
  };
}

/** The list of jobs lives in memory and is short: what counts is whom both ends name as the owner. */
async function owned(step: MigrateSlots, wanted: readonly number[], context: MigrationContext): Promise<boolean> {
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
