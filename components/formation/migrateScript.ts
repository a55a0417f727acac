import type { MigrateSlots } from "./rebalance";
import type { Answer, Command } from "./wire";

/**
 * Lists keys of one slot and moves them, on the source itself. Key names need not come here and go back, which costs as
 * much as the move does. To the server it is the same MIGRATE: the source deletes what the target has confirmed, and its
 * replicas and its AOF get the same DEL. A password is no argument of it, since scripts' arguments are in the slow log.
 */
const MOVE = `local found = {}
local function left(slot) return redis.call('CLUSTER', 'COUNTKEYSINSLOT', slot) end
for i = 4, #ARGV, 2 do
  local slot, failed = ARGV[i], ''
  local before = left(slot)
  local keys = redis.call('CLUSTER', 'GETKEYSINSLOT', slot, ARGV[i + 1])
  if #keys > 0 then
    failed = redis.pcall('MIGRATE', ARGV[1], ARGV[2], '', 0, ARGV[3], 'KEYS', unpack(keys)).err or ''
  end
  local after = left(slot)
  found[#found + 1] = {before - after, after, failed}
  if failed ~= '' then break end
end
return found`;

/** Listing the first keys of a larger slot takes the server longer each time that keys before them are gone. */
export const MOST_KEYS_BY_SCRIPT = 100_000;

/** What `unpack` puts on the stack of a script at the most. */
const MOST_KEYS_A_SCRIPT = 5_000;

/** Moves so many keys of each of these slots, in order, up to the first that MIGRATE fails for. */
export function moveByScript(
  step: MigrateSlots,
  slots: readonly { readonly slot: number; readonly keys: number }[],
  timeoutMilliseconds: number,
): Command {
  const { address, port } = step.toEndpoint;
  const wanted = slots.flatMap(({ slot, keys }) => [slot, Math.min(keys, MOST_KEYS_A_SCRIPT)]);
  return ["EVAL", MOVE, 0, address, port, timeoutMilliseconds, ...wanted];
}

/** What a script came to for one slot. */
export interface ScriptResult {
  /** Keys that were moved, or that had expired. */
  readonly moved: number;
  /** Keys that the slot holds still. */
  readonly left: number;
  /** MIGRATE failed: key by key it will turn out why. */
  readonly failed: boolean;
}

/** @returns a result for each slot up to the first that failed; none where the script did not run */
export function resultsOfScript(answer: Answer | undefined): ScriptResult[] {
  if (!answer?.ok || !Array.isArray(answer.value)) return [];
  return (answer.value as [unknown, unknown, unknown][]).map(([moved, left, error]) => ({
    moved: Number(moved),
    left: Number(left),
    failed: String(error) !== "",
  }));
}
