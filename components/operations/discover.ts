import { type ClusterInventory, INVENTORY_VERSION, type InventoryNode } from "../cluster/inventory";
import type { NodeEndpoint } from "../config/types";
import type { NodeEntry } from "../formation/clusterNodes";
import { observeNode } from "../formation/observe";
import { formatRange } from "../formation/slots";
import type { Connections } from "../formation/wire";

/** Holds the masters that own nothing, in an inventory that was discovered. */
export const NO_SHARD = "no shard";
/** A server does not know in which zone it is. */
export const UNKNOWN_ZONE = "-";

/** Nobody told what the cluster is, and no given node could. */
export class NothingDiscovered extends Error {
  override name = "NothingDiscovered";
}

/**
 * What one node knows of its cluster, as an inventory: for a cluster that nothing else describes. The first node that
 * answers is believed; comparing it with what the others say is the report's part.
 * @throws NothingDiscovered
 */
export async function discover(seeds: readonly NodeEndpoint[], connections: Connections): Promise<ClusterInventory> {
  const failures: string[] = [];
  for (const seed of seeds) {
    const at = `${seed.address}:${seed.port}`;
    const node = await observeNode(at, seed, ["cluster-node-timeout"], connections);
    if (!node.answering) failures.push(`${at} does not answer: ${node.reason}`);
    else if (!node.server.clusterEnabled) failures.push(`${at} runs without cluster mode`);
    else {
      const timeout = Number(node.settings["cluster-node-timeout"] ?? 15_000);
      return inventoryOfView(node.view, seed, { name: node.server.name, version: node.server.version }, timeout);
    }
  }
  throw new NothingDiscovered(failures.join("; "));
}

/** Pure: shards in the order of their slots, the master first. */
export function inventoryOfView(
  view: readonly NodeEntry[],
  seed: NodeEndpoint,
  engine: ClusterInventory["engine"],
  nodeTimeoutMilliseconds: number,
): ClusterInventory {
  const known = view.filter((entry) => !entry.handshake && !(entry.noaddr && !entry.myself));
  const first = (entry: NodeEntry) => entry.slots[0]?.start ?? 0;
  const masters = known.filter((e) => e.role === "master" && e.slots.length > 0).sort((a, b) => first(a) - first(b));
  const owners = new Set(masters.map((m) => m.id));
  const loose = known.filter((e) => !owners.has(e.id) && !owners.has(e.masterId ?? ""));
  const nodeOf = (entry: NodeEntry): InventoryNode => {
    // A node that never met anybody does not know its own address.
    const { address, port } = entry.myself ? seed : entry;
    const { hostname } = entry;
    return {
      name: `${address}:${port}`,
      zone: UNKNOWN_ZONE,
      address,
      port,
      busPort: entry.busPort,
      ...(hostname === undefined ? {} : { hostname }),
      id: entry.id,
      role: entry.role,
    };
  };
  const byName = (a: InventoryNode, b: InventoryNode) => (a.name < b.name ? -1 : 1);
  const shards = masters.map((master, index) => ({
    name: `shard-${index}`,
    slots: master.slots.map(formatRange),
    nodes: [
      nodeOf(master),
      ...known
        .filter((e) => e.masterId === master.id)
        .map(nodeOf)
        .sort(byName),
    ],
  }));
  if (loose.length > 0) shards.push({ name: NO_SHARD, slots: [], nodes: loose.map(nodeOf).sort(byName) });
  const unknown = { reads: false, writes: false, reason: "the zones are unknown" };
  return {
    version: INVENTORY_VERSION,
    name: `${seed.address}:${seed.port}`,
    platform: "existing",
    engine,
    zones: [UNKNOWN_ZONE],
    shards,
    nodeTimeoutMilliseconds,
    survives: { oneNode: unknown, oneZone: unknown },
    verifiedAt: "",
  };
}
