import type { MigrateSlots } from "./rebalance";
import type { Answer, Command } from "./wire";

/**
 * Lists keys of one slot and moves them, on the source itself. Key names need not come here and go back, which costs as
 * much as the move does. To the server it is the same MIGRATE: the source deletes what the target has confirmed, and its
 * replicas and its AOF get the same DEL. A password is no argument of it, since scripts' arguments are in the slow log.
 */
const MOVE = `local keys = redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[1], ARGV[2])
if #keys == 0 then return {0, 0} end
local answer = redis.pcall('MIGRATE', ARGV[3], ARGV[4], '', 0, ARGV[5], 'KEYS', unpack(keys))
if answer.err then return answer end
local moved = #keys
if answer.ok == 'NOKEY' then moved = 0 end
return {moved, redis.call('CLUSTER', 'COUNTKEYSINSLOT', ARGV[1])}`;

/** What `unpack` puts on the stack of a script at the most. */
export const MOST_KEYS_A_SCRIPT = 5_000;

export function moveByScript(step: MigrateSlots, slot: number, most: number, timeoutMilliseconds: number): Command {
  const { address, port } = step.toEndpoint;
  return ["EVAL", MOVE, 0, slot, Math.min(most, MOST_KEYS_A_SCRIPT), address, port, timeoutMilliseconds];
}

/** Keys that were moved and keys that the slot holds still; undefined where the script did not run or did not get through. */
export function movedByScript(answer: Answer | undefined): { moved: number; left: number } | undefined {
  if (!answer?.ok || !Array.isArray(answer.value)) return undefined;
  const [moved, left] = answer.value.map(Number);
  return moved === undefined || left === undefined ? undefined : { moved, left };
}
