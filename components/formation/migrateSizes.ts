import type { NodeEndpoint } from "../config/types";
import { insist, type MigrationContext, MoveRefused } from "./migrateContext";
import { parseInfo } from "./observe";
import type { MigrateSlots } from "./rebalance";
import type { Answer, Command } from "./wire";

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
/** Keys of this size and more are known one by one, so that a go can be bounded by bytes. */
const LARGE_BYTES = 16 * 1024;

export interface DataSet {
  readonly bytes: number;
  readonly keys: number;
  /** Databases with keys besides the first, as Valkey 9 may have them: `db1` and so on. */
  readonly others: readonly string[];
  /** Bytes of a few keys, taken at random. */
  readonly samples: readonly number[];
}

const SAMPLES = 200;
/** The share of the data that a sample may be trusted to account for. */
const SAMPLE_TRUST = 0.8;
const SAMPLE = `local sizes = {}
for i = 1, tonumber(ARGV[1]) do
  local key = redis.call('RANDOMKEY')
  if key then sizes[#sizes + 1] = redis.call('MEMORY', 'USAGE', key) or 0 end
end
return sizes`;

/**
 * Whether single keys have to be looked at, which costs a fifth of the move itself. Not where there is too little data, nor
 * where what the keys of a sample take on average accounts for all of it: a key that could stop a node would stand out.
 */
export function needsLooking(
  { bytes, keys, samples }: Omit<DataSet, "others">,
  nodeTimeoutMilliseconds: number,
): boolean {
  if (bytes <= HARMLESS_BYTES) return false;
  if (samples.length === 0 || samples.some((size) => size >= LARGE_BYTES)) return true;
  const average = samples.reduce((sum, size) => sum + size, 0) / samples.length;
  const unexplained = bytes - keys * average * SAMPLE_TRUST;
  return unexplained > (stopMilliseconds(nodeTimeoutMilliseconds) / 1000) * SLOWEST_BYTES_A_SECOND;
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

/** Where a server runs no scripts, or this user may not: what is only looked at then stays unknown. */
export const LOOK_FAILS: Readonly<Record<string, RegExp>> = { EVAL_RO: /^/ };

/** What one node holds. */
export async function dataSetOf(context: MigrationContext, endpoint: NodeEndpoint, node: string): Promise<DataSet> {
  const commands: Command[] = [["INFO", "memory", "keyspace"], ["DBSIZE"], ["EVAL_RO", SAMPLE, 0, SAMPLES]];
  const [info, size, sample] = await insist(context, endpoint, node, commands, { expected: LOOK_FAILS });
  const fields = parseInfo(info?.ok ? String(info.value) : "");
  const others = Object.keys(fields).filter((name) => /^db[1-9]\d*$/.test(name));
  return {
    others,
    bytes: Number(fields["used_memory_dataset"] ?? 0),
    keys: size?.ok ? Number(size.value) : 0,
    samples: sample?.ok && Array.isArray(sample.value) ? sample.value.map(Number) : [],
  };
}

/**
 * Large keys of a slot: key, bytes, type. On the server, because asking for every key's size from here costs as much as
 * moving it; there it is about a microsecond a key.
 */
const LOOK = `local found = {}
for _, key in ipairs(redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[1], ARGV[2])) do
  local bytes = redis.call('MEMORY', 'USAGE', key)
  if bytes and bytes >= tonumber(ARGV[3]) then
    local kind = redis.call('TYPE', key)
    found[#found + 1] = { key, bytes, kind['ok'] }
  end
end
return found`;

/** The command that lists a slot's large keys; `largeKeysIn` reads its answer. */
export function lookCommand(slot: number, count: number): Command {
  return ["EVAL_RO", LOOK, 0, slot, count, LARGE_BYTES];
}

export interface LargeKey {
  readonly key: Buffer;
  readonly bytes: number;
  readonly type: string;
}

/** Where a server runs no scripts (or this one not), large keys are not known and goes are bounded by their time alone. */
export function largeKeysIn(answer: Answer | undefined): LargeKey[] {
  if (!answer?.ok || !Array.isArray(answer.value)) return [];
  return (answer.value as [Buffer, number, Buffer][]).map(([key, bytes, type]) => ({ key, bytes, type: String(type) }));
}

/** @throws MoveRefused where there are keys in other databases: the commands that move keys see those of the first alone */
export function refuseOtherDatabases(step: MigrateSlots, { others }: DataSet): void {
  if (others.length === 0) return;
  throw new MoveRefused({
    kind: "other-databases",
    subject: step.node,
    message: `${step.node} has keys in ${others.join(", ")}, and key by key only those of db0 move with their slots`,
    remedy:
      "move those keys to db0 or delete them, or let the servers hand slots over by themselves (Valkey 9 at both ends, no `migration.maxKeysPerSecond`), and run `up` again",
  });
}

/** @throws MoveRefused that names every key too big to be moved while the cluster serves */
export function refuseTooBig(
  step: MigrateSlots,
  slot: number,
  keys: readonly LargeKey[],
  nodeTimeoutMilliseconds: number,
): void {
  const found = keys.filter(({ type, bytes }) => tooBig(type, bytes, nodeTimeoutMilliseconds));
  if (found.length === 0) return;
  const shown = found.map(({ key, type, bytes }) => {
    const seconds = Math.ceil(estimatedMilliseconds(type, bytes) / 1000);
    return `${JSON.stringify(key.toString())} (${type}, ${Math.round(bytes / 1e6)} MB, about ${seconds} s)`;
  });
  throw new MoveRefused({
    kind: "big-key",
    subject: step.node,
    message: `slot ${slot} cannot move from ${step.node} to ${step.to}: moving ${shown.join(", ")} would stop both nodes for longer than half of cluster-node-timeout (${nodeTimeoutMilliseconds} ms)`,
    remedy:
      "split the key or delete it, or raise cluster-node-timeout for the time of the move, and run `up` again; the slots before it have moved",
  });
}
