import type { ClusterSpec } from "../spec/spec";
import type { PlannedNode, PlannedShard, SlotRange, TopologyPlan, TopologyPromises } from "./plan";
import { zoneOrders } from "./rotation";
import { judge } from "./survival";

const SLOT_COUNT = 16384;

/**
 * Where every node goes: a pure function of the declaration, the same at every run.
 *
 * In this order:
 *  1. No replica in its master's zone while zones allow it; more generally a shard's nodes are in as many zones as
 *     possible, evenly.
 *  2. No zone with half of the masters or more, where the shape allows it.
 *  3. Masters even over the zones, and all nodes even over the zones: at most one more in one zone than in another.
 *
 * And stable: for fixed zones, the placement of m masters is part of that of m + 1, and of r replicas part of that of
 * r + 1, first nodes included. So scaling moves no node that is there. The replicas of the masters of one zone are
 * spread over the other zones, which share its work when it goes.
 *
 * Up to 11 zones no rule costs another one. From 12 zones on not all can hold at every size, and only the evenness of
 * all nodes gives way: with more than two replicas on 12 zones, and any on 13 and more, two zones may differ by two
 * nodes (by three with more than five replicas).
 *
 * @param spec a validated declaration: zones distinct and sorted, at least one.
 */
export function place(spec: ClusterSpec): TopologyPlan {
  const { masters, replicasPerMaster, zones } = spec;
  if (zones.length === 0) throw new Error(`${spec.name}: nodes cannot be placed without a zone; validate first`);
  const slots = splitSlots(masters);
  const shards = zoneOrders(masters, replicasPerMaster + 1, zones.length).map((order, index): PlannedShard => {
    const shard = `shard-${index}`;
    const inZone = new Map<string, number>();
    const nodes = order.map((position): PlannedNode => {
      const zone = zones[position] ?? "";
      const count = (inZone.get(zone) ?? 0) + 1;
      inZone.set(zone, count);
      return { name: nodeName(spec.name, index, zone, count), shard, zone };
    });
    return { name: shard, slots: slots[index] ?? [], nodes };
  });
  return { zones, shards, promises: promisesOf(shards, zones), survives: judge(shards, zones, spec) };
}

/** `sessions-0-eu-west-1a`; the second node of that shard in that zone is `sessions-0-eu-west-1a-2`. */
export function nodeName(cluster: string, shard: number, zone: string, count: number): string {
  return `${cluster}-${shard}-${zone}${count > 1 ? `-${count}` : ""}`;
}

/** All slots in contiguous ranges, at most one slot more in one shard than in another; rounded as `redis-cli --cluster create` does. */
export function splitSlots(shards: number): SlotRange[][] {
  const start = (index: number): number => Math.round((index * SLOT_COUNT) / shards);
  return Array.from({ length: shards }, (_, index) => [{ start: start(index), end: start(index + 1) - 1 }]);
}

/** Which zone rules a placement holds. A shard without a replica promises nothing, so that nothing is demanded of it. */
export function promisesOf(shards: readonly PlannedShard[], zones: readonly string[]): TopologyPromises {
  const replicated = shards.filter(({ nodes }) => nodes.length > 1);
  const mastersIn = (zone: string): number => shards.filter(({ nodes }) => nodes[0]?.zone === zone).length;
  return {
    shardsSpanZones:
      replicated.length > 0 && replicated.every(({ nodes }) => new Set(nodes.map(({ zone }) => zone)).size > 1),
    mastersKeepMajority: zones.every((zone) => mastersIn(zone) * 2 < shards.length),
  };
}

export interface Moves {
  readonly added: readonly PlannedNode[];
  readonly removed: readonly PlannedNode[];
  readonly kept: readonly PlannedNode[];
}

/** What a change of the declaration means for nodes. A node's name holds its shard and zone: nothing moves, it is added there and removed here. */
export function listMoves(before: TopologyPlan, after: TopologyPlan): Moves {
  const nodesOf = (plan: TopologyPlan): PlannedNode[] => plan.shards.flatMap(({ nodes }) => nodes);
  const had = new Set(nodesOf(before).map(({ name }) => name));
  const has = new Set(nodesOf(after).map(({ name }) => name));
  return {
    added: nodesOf(after).filter(({ name }) => !had.has(name)),
    removed: nodesOf(before).filter(({ name }) => !has.has(name)),
    kept: nodesOf(after).filter(({ name }) => had.has(name)),
  };
}
