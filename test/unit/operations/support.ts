import type { ClusterInventory } from "../../../components/cluster/inventory";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import type { AnsweringNode, ClusterObservation } from "../../../components/formation/observation";
import { formatRange } from "../../../components/formation/slots";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

export const OBSERVED_AT = "2026-01-02T03:04:05.000Z";

/** 40 hex digits that tell which node it is. */
const idOf = (index: number) => index.toString(16).padStart(40, "0");

export function inventoryOf(masters = 3, replicas = 1, zones = 3): ClusterInventory {
  const spec = specOf(masters, replicas, zones);
  const plan = place(spec);
  let index = 0;
  return {
    version: 1,
    name: spec.name,
    platform: "local",
    engine: spec.engine,
    zones: [...plan.zones],
    shards: plan.shards.map((shard) => ({
      name: shard.name,
      slots: shard.slots.map(formatRange),
      nodes: shard.nodes.map(({ name, zone }, at) => {
        index++;
        const address = `127.0.${plan.zones.indexOf(zone) + 1}.1`;
        const port = 7000 + index;
        return {
          name,
          zone,
          address,
          port,
          busPort: port + 10_000,
          id: idOf(index),
          role: at === 0 ? "master" : "replica",
        };
      }),
    })),
    nodeTimeoutMilliseconds: 5000,
    survives: plan.survives,
    verifiedAt: "2026-01-01T00:00:00.000Z",
  };
}

/** Every node of the inventory answering, as right after a formation. */
export function healthy(inventory: ClusterInventory): ClusterObservation {
  const members = inventory.shards.flatMap((shard) =>
    shard.nodes.map((node, at) => ({ shard, node, leads: at === 0, master: shard.nodes[0]?.id ?? "" })),
  );
  const entries = members.map(
    ({ shard, node, leads, master }, index): NodeEntry => ({
      id: node.id,
      address: node.address,
      port: node.port,
      busPort: node.busPort,
      role: leads ? "master" : "replica",
      myself: false,
      health: "ok",
      handshake: false,
      noaddr: false,
      ...(leads ? {} : { masterId: master }),
      configEpoch: index,
      linked: true,
      slots: leads
        ? shard.slots.map((s) => s.split("-").map(Number)).map(([start = 0, end = start]) => ({ start, end }))
        : [],
      openSlots: [],
    }),
  );
  return {
    nodes: members.map(
      ({ node }, index): AnsweringNode => ({
        answering: true,
        name: node.name,
        endpoint: { address: node.address, port: node.port, busPort: node.busPort },
        id: node.id,
        server: { name: inventory.engine.name, version: "9.1.0", clusterEnabled: true },
        view: entries.map((entry, i) => ({ ...entry, myself: i === index })),
        state: "ok",
        currentEpoch: members.length,
        keys: 1000 * (index + 1),
        memory: { usedBytes: 2_000_000 + 100_000 * index, maxBytes: 64 * 1024 * 1024 },
        replication: { linkUp: true, syncing: false, offset: 5000, lagSeconds: 0 },
        settings: {},
      }),
    ),
  };
}

/** One node no longer answers; the others still hold it for what it was, with this much doubt. */
export function silence(
  observation: ClusterObservation,
  name: string,
  health: NodeEntry["health"],
): ClusterObservation {
  const lost = observation.nodes.find((n) => n.name === name);
  const id = lost?.answering ? lost.id : "";
  return {
    nodes: observation.nodes.map((node) => {
      if (!node.answering) return node;
      if (node.name === name)
        return {
          answering: false,
          name,
          endpoint: node.endpoint,
          reason: "connection refused (no server listens there)",
        };
      return { ...node, view: node.view.map((e) => (e.id === id ? { ...e, health, linked: false } : e)) };
    }),
  };
}

export function onNode(
  observation: ClusterObservation,
  name: string,
  change: (node: AnsweringNode) => AnsweringNode,
): ClusterObservation {
  return { nodes: observation.nodes.map((n) => (n.answering && n.name === name ? change(n) : n)) };
}
