import { superseded } from "./layout";
import { handsOverAtomically } from "./migrateWay";
import { type AnsweringNode, answering, type ClusterObservation, openSlotsOf, self } from "./observation";
import { expandSlots, nameSlots, SLOT_COUNT, toRanges } from "./slots";
import type { Answer, Command, Connections } from "./wire";

/** Slots of which a master holds keys although another one owns them, and that it does not import: nobody is sent to it for them. */
interface Strays {
  readonly node: AnsweringNode;
  readonly slots: readonly number[];
}

export interface StrayKeys {
  readonly strays: readonly Strays[];
  /** Why it cannot be told of some, a sentence each. */
  readonly unknown: readonly string[];
}

/** What a server counts without others noticing that it is busy: two milliseconds. */
const COUNTED_AT_ONCE = 1_024;

const COUNT = `local found = {}
for _, slot in ipairs(ARGV) do
  if redis.call('CLUSTER', 'COUNTKEYSINSLOT', slot) > 0 then found[#found + 1] = slot end
end
return found`;

/**
 * Marks of open slots are the masters' own, and are gone with their leadership (Valkey 8 and later has them on replicas too). Where both
 * ends of a move that was cut short are led by others since, nothing tells any more that a slot lies on both: what was moved
 * of it is neither served nor missed. Only the keys themselves tell.
 */
export async function strayKeys(observation: ClusterObservation, connections: Connections): Promise<StrayKeys> {
  const strays: Strays[] = [];
  const unknown: string[] = [];
  // Whoever has yet to hear of its successor holds older copies of what that one has.
  const former = superseded(observation);
  // What an atomic handover brings is nobody's until it ends, and where it fails the servers clear up by themselves.
  const masters = answering(observation).filter(
    (n) => self(n).role === "master" && n.keys > 0 && !former.includes(n) && !handsOverAtomically(n.server),
  );
  await Promise.all(
    masters.map(async (node) => {
      const known = new Set([...expandSlots(self(node).slots), ...openSlotsOf(node).map((o) => o.slot)]);
      const others = Array.from({ length: SLOT_COUNT }, (_, slot) => slot).filter((slot) => !known.has(slot));
      const slots: number[] = [];
      for (let at = 0; at < others.length; at += COUNTED_AT_ONCE) {
        const found = await slotsWithKeys(node, others.slice(at, at + COUNTED_AT_ONCE), connections);
        if (typeof found === "string") return unknown.push(`${node.name}: ${found}`);
        slots.push(...found);
      }
      if (slots.length > 0) strays.push({ node, slots });
    }),
  );
  return { strays, unknown };
}

/** @returns those of these slots, or why they are not known */
async function slotsWithKeys(
  { endpoint }: AnsweringNode,
  slots: readonly number[],
  connections: Connections,
): Promise<number[] | string> {
  const [found] = await connections.send(endpoint, [["EVAL_RO", COUNT, 0, ...slots]]);
  if (found?.ok && Array.isArray(found.value)) return found.value.map((slot) => Number(String(slot)));
  // Where a server runs no scripts, or this user may not.
  const counts = await connections.send(
    endpoint,
    slots.map((slot): Command => ["CLUSTER", "COUNTKEYSINSLOT", slot]),
  );
  const failed = counts.find((count: Answer) => !count.ok);
  if (failed && !failed.ok) return failed.error.message;
  return slots.filter((_, i) => counts[i]?.ok && Number(counts[i].value) > 0);
}

/**
 * Has each of these nodes import its slots, as a server does that loads such keys: then the move is carried to its end, and keys that
 * are on both ends are compared.
 * Source: `verifyClusterConfigWithData`.
 */
export async function importStrays(
  { strays }: StrayKeys,
  observation: ClusterObservation,
  connections: Connections,
  say: (line: string) => void,
): Promise<void> {
  const owners = new Map<number, AnsweringNode>();
  for (const node of answering(observation))
    if (self(node).role === "master") for (const slot of expandSlots(self(node).slots)) owners.set(slot, node);
  await Promise.all(
    strays.map(async ({ node, slots }) => {
      const names = new Set(slots.map((slot) => owners.get(slot)?.name ?? "nobody"));
      say(
        `${node.name} holds keys of ${nameSlots(toRanges(slots))}, owned by ${[...names].join(", ")}: the move that brought them was cut short, and is carried on`,
      );
      const commands = slots.flatMap((slot): Command[] => {
        const owner = owners.get(slot);
        return owner ? [["CLUSTER", "SETSLOT", slot, "IMPORTING", owner.id]] : [];
      });
      // What a server refuses (it has got the slot meanwhile, or leads no more) shows at the next look.
      await connections.send(node.endpoint, commands);
    }),
  );
}
