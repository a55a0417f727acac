/** Shards have room for this many nodes in the numbering of nodes, so that adding replicas renumbers nobody. */
export const NODES_PER_SHARD = 8;

/** A node's number in its cluster: that of its shard and its place in there, both from 0. */
export function ordinalOf(shard: number, place: number): number {
  return shard * NODES_PER_SHARD + place;
}
