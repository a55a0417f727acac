import type { FormationGoal, Member } from "./goal";
import { type AnsweringNode, openSlotsOf, self } from "./observation";
import { expandSlots } from "./slots";

/**
 * Slots on their way to a shard, which other members own: a node of the shard, or its leader, imports them, or their owner sends
 * them there, be it to a node that the shard had before. Whoever follows the shard's leader holds keys of them too.
 */
export function arrivingSlots(
  goal: FormationGoal,
  shard: string,
  members: readonly Member[],
  alive: readonly AnsweringNode[],
): ReadonlySet<number> {
  const joined = alive.filter((n) => n.view.length > 1);
  const own = joined.filter((n) => shardOf(goal, n) === shard);
  const present = new Set(alive.map((n) => n.id));
  const former = members.filter((m) => m.shard === shard && !present.has(m.id));
  const ids = new Set([...own.flatMap((n) => [n.id, self(n).masterId]), ...former.map((m) => m.id)]);
  const marked = joined.flatMap((n) =>
    openSlotsOf(n).flatMap((o) => (ids.has(o.direction === "importing" ? n.id : o.peerId) ? [o.slot] : [])),
  );
  if (marked.length === 0) return new Set();
  const owners = joined.filter((n) => self(n).role === "master" && !ids.has(n.id));
  const owned = new Set(owners.flatMap((n) => expandSlots(self(n).slots)));
  return new Set(marked.filter((slot) => owned.has(slot)));
}

/** The name of the shard that a node belongs to, or belonged to where it is to leave. */
export function shardOf(goal: FormationGoal, node: AnsweringNode): string | undefined {
  return node.leaving?.shard ?? goal.plan.shards.find((s) => s.nodes.some((n) => n.name === node.name))?.name;
}
