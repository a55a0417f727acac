import type { MigrateSlots } from "./rebalance";
import type { Answer, Command } from "./wire";

/**
 * Lists keys of one slot and moves them, on the source itself. Key names need not come here and go back, which costs as
 * much as the move does. To the server it is the same MIGRATE: the source deletes what the target has confirmed, and its
 * replicas and its AOF get the same DEL. A password is no argument of it, since scripts' arguments are in the slow log.
 */
const MOVE = `local function left() return redis.call('CLUSTER', 'COUNTKEYSINSLOT', ARGV[1]) end
local before = left()
local keys = redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[1], ARGV[2])
if #keys == 0 then return {0, before, ''} end
local answer = redis.pcall('MIGRATE', ARGV[3], ARGV[4], '', 0, ARGV[5], 'KEYS', unpack(keys))
local after = left()
return {before - after, after, answer.err or ''}`;

/** Listing the first keys of a larger slot takes the server longer each time that keys before them are gone. */
export const MOST_KEYS_BY_SCRIPT = 100_000;

/** What `unpack` puts on the stack of a script at the most. */
const MOST_KEYS_A_SCRIPT = 5_000;

export function moveByScript(step: MigrateSlots, slot: number, most: number, timeoutMilliseconds: number): Command {
  const { address, port } = step.toEndpoint;
  return ["EVAL", MOVE, 0, slot, Math.min(most, MOST_KEYS_A_SCRIPT), address, port, timeoutMilliseconds];
}

/** What one script came to. */
export interface ScriptResult {
  /** Keys that were moved, or that had expired. */
  readonly moved: number;
  /** Keys that the slot holds still; undefined where the script did not run, so that nobody knows. */
  readonly left?: number;
  /** It did not run, or MIGRATE failed: key by key it will turn out why. */
  readonly failed: boolean;
}

export function resultOfScript(answer: Answer | undefined): ScriptResult {
  if (!answer?.ok || !Array.isArray(answer.value)) return { moved: 0, failed: true };
  const [moved, left, error] = answer.value;
  return { moved: Number(moved), left: Number(left), failed: String(error) !== "" };
}
