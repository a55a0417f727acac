import type { ClusterInventory } from "../cluster/inventory";
import type { FormationGoal, Member } from "../formation/goal";
import { promisesOf } from "../topology/place";
import type { PlannedShard, SlotRange } from "../topology/plan";

/**
 * What the cluster of an inventory should look like, in the words that formation uses, so that operators measure a
 * cluster by the same rules as the run that made it. Settings are not part of an inventory and are not asked for.
 */
export function goalOfInventory(inventory: ClusterInventory): FormationGoal {
  const shards = inventory.shards.map(
    (shard): PlannedShard => ({
      name: shard.name,
      slots: shard.slots.map(parseRange),
      nodes: shard.nodes.map(({ name, zone }) => ({ name, shard: shard.name, zone })),
    }),
  );
  return {
    cluster: inventory.name,
    engine: inventory.engine,
    plan: {
      zones: inventory.zones,
      shards,
      // An inventory keeps the plan's order of nodes, so the shape alone tells which zone rules it was able to hold.
      promises: promisesOf(shards, inventory.zones),
      survives: inventory.survives,
    },
    endpoints: Object.fromEntries(
      inventory.shards.flatMap((s) =>
        s.nodes.map(({ name, address, port, busPort, hostname }) => [
          name,
          { address, port, busPort, ...(hostname === undefined ? {} : { hostname }) },
        ]),
      ),
    ),
    settings: {},
    nodeTimeoutMilliseconds: inventory.nodeTimeoutMilliseconds,
  };
}

/** The nodes that belong to the cluster; any other is foreign. */
export function membersOfInventory(inventory: ClusterInventory): Member[] {
  return inventory.shards.flatMap((shard) =>
    shard.nodes
      .filter((node) => node.id !== "")
      .map(
        ({ name, zone, id, address, port, busPort, hostname }): Member => ({
          name,
          shard: shard.name,
          zone,
          id,
          endpoint: { address, port, busPort, ...(hostname === undefined ? {} : { hostname }) },
          state: "member",
        }),
      ),
  );
}

export function parseRange(text: string): SlotRange {
  const [start = Number.NaN, end = start] = text.split("-").map(Number);
  return { start, end };
}
