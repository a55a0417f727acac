import type { NodeEndpoint } from "../../config/types";
import type { AnsweringNode } from "../observation";
import { observeNode } from "../observe";
import type { Connections } from "../wire";
import type { GuardInputs } from "./guard";
import { notedNodes } from "./knowledge";

/** Enough to tell a cluster's view of one node; more would only be asked for nothing in a large cluster. */
const PEERS = 8;

/** Nodes of the same cluster that answer: those of the guard's inputs, and whatever this process has heard of. */
export async function peersOf(inputs: GuardInputs, connections: Connections): Promise<AnsweringNode[]> {
  const known = new Map<string, NodeEndpoint>();
  const { node, endpoint, cluster } = inputs;
  const noted = [...notedNodes(cluster)].filter(([name]) => name !== node).map(([, e]) => e);
  for (const peer of [...(inputs.peers ?? []), ...noted]) known.set(`${peer.address}:${peer.port}`, peer);
  known.delete(`${endpoint.address}:${endpoint.port}`);
  const asked = [...known.values()].slice(0, PEERS);
  const peers = await Promise.all(asked.map((peer) => observeNode("peer", peer, [], connections)));
  return peers.filter((p) => p.answering);
}
