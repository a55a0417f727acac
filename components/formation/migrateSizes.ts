import type { NodeEndpoint } from "../config/types";
import { insist, type MigrationContext, MoveRefused } from "./migrateContext";
import { parseInfo } from "./observe";
import type { MigrateSlots } from "./rebalance";
import type { Command } from "./wire";

/**
 * Bytes, as MEMORY USAGE counts them, that one node can hand to another in a second at the least. Measured with both on a
 * busy machine of two cores: strings 280–470 MB/s, hashes and sorted sets of 500,000 members 30–210 MB/s, lists and
 * streams 10–25 MB/s of their own, compact, memory. Half of that, and no more than a 1 Gbit/s network carries.
 */
const BYTES_A_SECOND: Readonly<Record<string, number>> = {
  string: 100e6,
  hash: 15e6,
  zset: 30e6,
  set: 30e6,
  list: 10e6,
  stream: 5e6,
};
const SLOWEST_BYTES_A_SECOND = 5e6;
/** `proto-max-bulk-len`: what a server takes as one argument, and a key is one argument of RESTORE. */
const LARGEST_ARGUMENT_BYTES = 512 * 1024 * 1024;

/** Nothing in so small a data set can make a go too big. */
const HARMLESS_BYTES = 1024 * 1024;
/** With keys of this size on average a go is bounded by bytes, and each is measured. */
const LARGE_AVERAGE_BYTES = 2 * 1024;
/** One of a few keys of a slot that is this large makes all of that slot's be measured. */
const LARGE_SAMPLE_BYTES = 16 * 1024;
const SAMPLES = 3;
/** Keys of one slot that are looked at before it is opened; a server lists them all at once, and stops for it. */
export const LISTED_AT_ONCE = 10_000;

/** How closely keys are measured: MEMORY USAGE of every key costs about as much as moving it. */
export type Measuring = "none" | "samples" | "every";

export interface DataSet {
  readonly bytes: number;
  readonly keys: number;
}

export function measuringFor({ bytes, keys }: DataSet, nodeTimeoutMilliseconds: number): Measuring {
  if (bytes <= HARMLESS_BYTES || keys === 0) return "none";
  // No single key can be larger than all of them together: below this none can stop a node for too long.
  const mayHoldTooBig = bytes > (stopMilliseconds(nodeTimeoutMilliseconds) / 1000) * SLOWEST_BYTES_A_SECOND;
  return mayHoldTooBig || bytes / keys >= LARGE_AVERAGE_BYTES ? "every" : "samples";
}

/** Half of the node timeout: a node that is silent for longer is soon taken for failed, and its replica elected. */
function stopMilliseconds(nodeTimeoutMilliseconds: number): number {
  return nodeTimeoutMilliseconds / 2;
}

export function tooBig(type: string, bytes: number, nodeTimeoutMilliseconds: number): boolean {
  return (
    bytes > LARGEST_ARGUMENT_BYTES || estimatedMilliseconds(type, bytes) > stopMilliseconds(nodeTimeoutMilliseconds)
  );
}

function estimatedMilliseconds(type: string, bytes: number): number {
  return (bytes / (BYTES_A_SECOND[type] ?? SLOWEST_BYTES_A_SECOND)) * 1000;
}

/** `used_memory_dataset` and the number of keys of one node. */
export async function dataSetOf(context: MigrationContext, endpoint: NodeEndpoint, node: string): Promise<DataSet> {
  const [info, size] = await insist(context, endpoint, node, [["INFO", "memory"], ["DBSIZE"]]);
  const fields = parseInfo(info?.ok ? String(info.value) : "");
  return { bytes: Number(fields["used_memory_dataset"] ?? 0), keys: size?.ok ? Number(size.value) : 0 };
}

/**
 * Bytes of each key of one slot; 0 where none was measured. A key that is gone meanwhile counts nothing.
 * @throws MoveRefused that names every key too big to be moved while the cluster serves
 */
export async function sizesOf(
  step: MigrateSlots,
  slot: number,
  keys: readonly Buffer[],
  measuring: Measuring,
  source: NodeEndpoint,
  context: MigrationContext,
): Promise<number[]> {
  if (measuring === "none" || keys.length === 0) return keys.map(() => 0);
  if (measuring === "samples") {
    const few = await usages(step, keys.slice(0, SAMPLES), source, context);
    const largest = Math.max(...few);
    if (largest < LARGE_SAMPLE_BYTES) return keys.map(() => largest);
  }
  const sizes = await usages(step, keys, source, context);
  await refuseTooBig(step, slot, keys, sizes, source, context);
  return sizes;
}

async function usages(
  step: MigrateSlots,
  keys: readonly Buffer[],
  source: NodeEndpoint,
  context: MigrationContext,
): Promise<number[]> {
  const answers = await insist(
    context,
    source,
    step.node,
    keys.map((key): Command => ["MEMORY", "USAGE", key]),
    { expected: /^ASK / },
  );
  return answers.map((a) => (a.ok ? Number(a.value ?? 0) : 0));
}

async function refuseTooBig(
  step: MigrateSlots,
  slot: number,
  keys: readonly Buffer[],
  sizes: readonly number[],
  source: NodeEndpoint,
  context: MigrationContext,
): Promise<void> {
  const { nodeTimeoutMilliseconds: timeout } = context;
  const suspects = keys.flatMap((key, i) =>
    tooBig("", sizes[i] ?? 0, timeout) ? [{ key, bytes: sizes[i] ?? 0 }] : [],
  );
  if (suspects.length === 0) return;
  const types = await insist(
    context,
    source,
    step.node,
    suspects.map(({ key }): Command => ["TYPE", key]),
    { expected: /^ASK / },
  );
  const found = suspects.flatMap(({ key, bytes }, i) => {
    const answer = types[i];
    const type = answer?.ok ? String(answer.value) : "none";
    return type !== "none" && tooBig(type, bytes, timeout)
      ? [
          `${JSON.stringify(key.toString())} (${type}, ${Math.round(bytes / 1e6)} MB, about ${Math.ceil(estimatedMilliseconds(type, bytes) / 1000)} s)`,
        ]
      : [];
  });
  if (found.length === 0) return;
  throw new MoveRefused({
    kind: "big-key",
    subject: step.node,
    message: `slot ${slot} cannot move from ${step.node} to ${step.to}: moving ${found.join(", ")} would stop both nodes for longer than half of cluster-node-timeout (${timeout} ms)`,
    remedy:
      "split the key or delete it, or raise cluster-node-timeout for the time of the move, and run `up` again; the slots before it have moved",
  });
}
