import { arrivingSlots } from "./arriving";
import { servesElsewhere, staleMembers } from "./assess";
import type { FormationGoal, Member } from "./goal";
import type { ShardLayout } from "./layout";
import { type AnsweringNode, answering, type ClusterObservation, self } from "./observation";
import { expandSlots, toRanges } from "./slots";
import type { Step } from "./steps";

/**
 * A master that came back without its nodes.conf, before the others called it failed, stays a member without an address
 * for ever: nobody suspects such a node, so no replica is elected by itself. Its ID can never answer again, hence the
 * replica with the most data is told to ask the other masters for their votes. Where most masters came back like that, there
 * are too few to vote: then one takes over by itself, and so on until there are enough. With every node heard, no majority can
 * be anywhere else.
 */
export function takeOver(members: readonly Member[], observation: ClusterObservation): Step[] {
  const alive = answering(observation);
  const heirs = staleMembers(members, alive).flatMap((member) => {
    const owns = alive.some((n) => n.view.some((e) => e.id === member.id && e.slots.length > 0));
    if (!owns || servesElsewhere(member, alive)) return [];
    const heir = alive
      .filter((n) => self(n).role === "replica" && self(n).masterId === member.id)
      .sort((a, b) => b.replication.offset - a.replication.offset || (a.name < b.name ? -1 : 1))[0];
    return heir ? [{ heir, member }] : [];
  });
  const stepOf = ({ heir, member }: (typeof heirs)[number], without: "elected" | "alone"): Step => ({
    do: "failover",
    node: heir.name,
    shard: member.shard,
    from: member.name,
    without,
  });
  const stuck = observation.nodes.every((n) => n.answering)
    ? heirs.find(({ heir }) => !canBeElected(heir, alive))
    : undefined;
  return stuck ? [stepOf(stuck, "alone")] : heirs.map((heir) => stepOf(heir, "elected"));
}

/** Whether most of the masters that this node counts are there to vote. */
function canBeElected(candidate: AnsweringNode, alive: readonly AnsweringNode[]): boolean {
  const ids = new Set(alive.map((n) => n.id));
  const masters = candidate.view.filter((e) => e.role === "master" && e.slots.length > 0);
  return masters.filter((e) => ids.has(e.id)).length * 2 > masters.length;
}

/**
 * A former leader without its nodes.conf claims the slots that it finds keys of. When it meets the others it loses them again, and a
 * server that loses slots to a node which owns more than those deletes their keys, on 7.0 without telling its replication
 * stream; it would then follow its successor from the offset that both know, empty and "in sync". One that loses all that the other
 * owns takes itself for failed over, and follows with its data (`clusterUpdateSlotsConfigWith`). So it claims them all first, and none
 * of those on their way to the shard, which their owner would take from it one by one.
 */
export function claimAll(
  goal: FormationGoal,
  layout: readonly ShardLayout[],
  members: readonly Member[],
  alive: readonly AnsweringNode[],
): Step[] {
  return layout.flatMap(({ planned, leader, strays }) => {
    if (!leader) return [];
    const theirs = self(leader).slots;
    return strays.flatMap((stray): Step[] => {
      const own = self(stray);
      if (stray.view.length > 1 || own.role !== "master" || own.slots.length === 0) return [];
      const on = { node: stray.name, shard: planned.name };
      const claimed = new Set(expandSlots(own.slots));
      const missing = toRanges(expandSlots(theirs).filter((slot) => !claimed.has(slot)));
      const arriving = followsByItself(stray) ? arrivingSlots(goal, planned.name, members, alive) : new Set<number>();
      const over = toRanges([...claimed].filter((slot) => arriving.has(slot)));
      // In this order: without any slot left it would not be recognised again.
      return [
        ...(missing.length > 0 ? [{ do: "addSlotsRange", ...on, slots: missing } as const] : []),
        ...(over.length > 0 ? [{ do: "releaseSlots", ...on, slots: over } as const] : []),
      ];
    });
  });
}

/**
 * Does a node that loses its slots to all that another one owns follow that one? Redis does. Valkey asks for the same shard ID, which is
 * lost with nodes.conf: such a node deletes what it loses, tells its replication stream, and follows when it is told to. Keys of slots that
 * it did not claim would stay, and keep it from following.
 */
function followsByItself(node: AnsweringNode): boolean {
  return node.server.name === "redis";
}

/**
 * Masters that have joined and never owned a slot are at epoch 0, as is a former leader without its nodes.conf. Of two masters with
 * equal epochs one takes the greatest of all, and if that is the former leader, it wins its slots back with old data. So they take
 * epochs of their own before it meets them.
 * Source: `clusterHandleConfigEpochCollision`, `clusterBumpConfigEpochWithoutConsensus`.
 */
export function outbid(alive: readonly AnsweringNode[], former: readonly AnsweringNode[]): Step[] {
  if (!former.some((n) => n.view.length === 1)) return [];
  return alive
    .filter((n) => !former.includes(n) && n.view.length > 1 && self(n).role === "master" && self(n).configEpoch === 0)
    .map((n): Step => ({ do: "bumpEpoch", node: n.name }));
}

/**
 * A replica speaks with its master's epoch. Where it had a later one of its own as a master, from a collision with another blank node, servers
 * from Valkey 8.1 and Redis 8.0 on that read an older packet of it last take every word of it for stale, and it for a master, for good
 * ("Ignore stale message"). A later epoch of its master ends that.
 */
export function outbidFollowers(alive: readonly AnsweringNode[]): Step[] {
  const disbelieved = alive.flatMap((n) => n.view.filter((e) => e.role === "master" && !e.handshake));
  return alive
    .filter((master) => {
      const { role, configEpoch } = self(master);
      const followers = new Set(alive.filter((n) => self(n).masterId === master.id).map((n) => n.id));
      return role === "master" && disbelieved.some((e) => followers.has(e.id) && e.configEpoch > configEpoch);
    })
    .map(({ name }): Step => ({ do: "bumpEpoch", node: name }));
}

/**
 * Who may meet now. A node without its nodes.conf begins at epoch 0, as blank ones do, and of two masters with equal epochs one takes the
 * greatest of all: a former leader that meets another such node before it hears of its successor could win its slots back, with old
 * data. So each comes alone, and whoever else is new after it has heard.
 */
export function mayMeet(alive: readonly AnsweringNode[], former: readonly AnsweringNode[]): readonly AnsweringNode[] {
  if (former.length === 0) return alive;
  const next = former.find((n) => n.view.length > 1) ?? former[0];
  return alive.filter((n) => n.view.length > 1 || n === next);
}
