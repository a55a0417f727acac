import { setTimeout } from "node:timers/promises";
import type { ResourceRunner } from "../../cluster/shim";
import type { NodeEndpoint } from "../../config/types";
import type { NodeEntry } from "../clusterNodes";
import { execute } from "../execute";
import { type AnsweringNode, isBlank, self } from "../observation";
import { observeNode } from "../observe";
import { countSlots } from "../slots";
import { type Access, Connections } from "../wire";
import { isDismantled } from "./dismantled";
import { EngineWatch, leaveIfOrphaned } from "./engineWatch";
import { withoutUndefined } from "./partialFailure";
import { hasUnknown, isUnknown } from "./unknowns";

/** Inputs of a guard: the machine it stands before. */
export interface GuardInputs {
  readonly cluster: string;
  readonly node: string;
  readonly endpoint: NodeEndpoint;
  /** A few nodes that come before this one in the chain: who to ask about it when it is silent. */
  readonly peers: readonly NodeEndpoint[];
  /** Changes when the machine is replaced; then the guard is replaced too, around it. */
  readonly instance: string;
  /** `delete`: losing this node's data was agreed to. */
  readonly dataOnDestroy: string;
  /** Replicas that each shard is declared to have. */
  readonly replicasPerMaster: number;
  readonly access: Access;
}

const SYNC_PATIENCE_MILLISECONDS = 60_000;
const HANDOVER_MILLISECONDS = 5_000;

/**
 * Stands between Pulumi and a machine: it is deleted before the machine and created after it. Deleting it hands the
 * node's leadership to a replica in sync, or refuses; creating it waits until the node is in sync again. So machines roll
 * one after the other, and none goes with slots or a last copy, whatever flags Pulumi is called with.
 */
export const guardRunner: ResourceRunner<GuardInputs, GuardInputs> = {
  async check(_olds, news) {
    return { inputs: news, failures: [] };
  },

  async diff(_id, olds, news) {
    // An unknown instance is a machine about to be replaced: the guard has to go first.
    const replaced = isUnknown(news.instance) || olds.instance !== news.instance;
    const changes = replaced || hasUnknown(news) || JSON.stringify(facts(olds)) !== JSON.stringify(facts(news));
    return { changes, replaces: replaced ? ["instance"] : [], deleteBeforeReplace: true };
  },

  async create(inputs) {
    await withWatch(inputs, waitUntilInSync);
    return { id: `${inputs.node}-guard`, outs: withoutUndefined({ ...inputs }) };
  },

  async read(id, props) {
    return { id, props };
  },

  async update(_id, _olds, news) {
    return { outs: withoutUndefined({ ...news }) };
  },

  async delete(_id, props) {
    if (isDismantled(props.cluster)) return;
    await withWatch(props, letGo);
  },
};

function facts({ cluster, node, endpoint, dataOnDestroy, replicasPerMaster, access, peers }: GuardInputs): unknown {
  return [
    peers?.map((p) => `${p.address}:${p.port}`),
    cluster,
    node,
    endpoint.address,
    endpoint.port,
    endpoint.busPort,
    endpoint.hostname,
    dataOnDestroy,
    replicasPerMaster,
    access.username,
    access.password,
  ];
}

async function withWatch(
  inputs: GuardInputs,
  work: (inputs: GuardInputs, connections: Connections, watch: EngineWatch) => Promise<void>,
): Promise<void> {
  const watch = new EngineWatch().start();
  const connections = new Connections("pulumi-redis-cluster:guard", inputs.access);
  try {
    await work(inputs, connections, watch);
    leaveIfOrphaned(watch);
  } finally {
    watch.stop();
    connections.close();
  }
}

/** A node that is in no cluster yet is let through at once; formation takes it from there. */
async function waitUntilInSync(inputs: GuardInputs, connections: Connections, watch: EngineWatch): Promise<void> {
  let moved = Date.now();
  let before = "";
  for (;;) {
    const node = await observeNode(inputs.node, inputs.endpoint, [], connections);
    if (node.answering && isBlank(node)) return;
    if (node.answering && node.state === "ok" && node.replication.linkUp) return;
    leaveIfOrphaned(watch);
    const now = node.answering
      ? `cluster_state:${node.state}, replication ${node.replication.linkUp ? "up" : "down"} at offset ${node.replication.offset}`
      : node.reason;
    if (now !== before) {
      before = now;
      moved = Date.now();
    } else if (Date.now() - moved > SYNC_PATIENCE_MILLISECONDS) {
      throw new Error(
        `${inputs.node} is not in sync, and nothing has moved for ${SYNC_PATIENCE_MILLISECONDS / 1000} s: ${now}. Look at its log, then run \`up\` again: it goes on from here.`,
      );
    }
    await setTimeout(100);
  }
}

async function letGo(inputs: GuardInputs, connections: Connections): Promise<void> {
  const consented = inputs.dataOnDestroy === "delete";
  const node = await observeNode(inputs.node, inputs.endpoint, [], connections);
  if (!node.answering) {
    if (consented || (await isOut(inputs, connections))) return;
    throw new Error(
      `${inputs.node} does not answer here (${node.reason}), and no other node says that it is out of service: it may be serving. It stays. Bring it back, or let this machine reach it, and run \`up\` again.`,
    );
  }
  const own = self(node);
  const slots = countSlots(own.slots);
  if (own.role === "replica") {
    const master = node.view.find((e) => e.id === own.masterId);
    if (consented || node.keys === 0 || (await leads(master, connections))) return;
    throw new Error(
      `${inputs.node} may hold the last copy of its shard: its master ${master?.address ?? ""}:${master?.port ?? ""} does not answer as a master. It stays; bring the master back or let a failover end, and run \`up\` again.`,
    );
  }
  if (slots === 0) return;
  // A destroy that was killed halfway left too few masters to elect anyone: nothing can be handed over any more, only lost.
  if (consented && !(await mastersHaveMajority(node, connections))) return;
  const heir = await replicaInSync(node, connections);
  if (heir) {
    console.log(
      `${inputs.cluster}: ${inputs.node} hands ${slots} slots to its replica at ${heir.address}:${heir.port}`,
    );
    await execute(
      [{ do: "failover", node: "heir", shard: "", from: inputs.node }],
      { endpoints: { heir }, masters: [], stopReason: () => undefined },
      connections,
    );
    // The heir leads before this node has heard of it.
    for (const until = Date.now() + HANDOVER_MILLISECONDS; Date.now() < until; await setTimeout(20)) {
      const after = await observeNode(inputs.node, inputs.endpoint, [], connections);
      if (after.answering && self(after).slots.length === 0) return;
    }
    throw new Error(
      `${inputs.node} still owns ${slots} slots after a failover was asked for; it stays. Run \`up\` again.`,
    );
  }
  // A shard declared without replicas can only pause: its data stay on disk, or their loss was agreed to.
  if (consented || inputs.replicasPerMaster === 0) return;
  throw new Error(
    `${inputs.node} owns ${slots} slots and has no replica in sync to take them; it stays. Wait until its replica is in sync, or mend that first, and run \`up\` again.`,
  );
}

/**
 * May a silent machine go? A run that was killed between its deletion and its creation comes by here again, with the machine
 * already gone and its data on their volume. What must not go is one that is silent only from here: the others tell.
 */
async function isOut(inputs: GuardInputs, connections: Connections): Promise<boolean> {
  const { address, port } = inputs.endpoint;
  const peers = await Promise.all(
    (inputs.peers ?? []).map((endpoint) => observeNode("peer", endpoint, [], connections)),
  );
  const views = peers
    .filter((p) => p.answering)
    .map((p) => p.view.find((e) => e.address === address && e.port === port));
  if (views.length === 0) return peers.length === 0;
  return views.every((entry) => entry === undefined || entry.health !== "ok" || !entry.linked);
}

/** Do enough masters answer to elect another one? */
async function mastersHaveMajority(node: AnsweringNode, connections: Connections): Promise<boolean> {
  const masters = node.view.filter((e) => e.role === "master" && e.slots.length > 0);
  const answers = await Promise.all(masters.map((e) => e.myself || leads(e, connections)));
  return answers.filter(Boolean).length * 2 > masters.length;
}

/** Does this node answer, as a master with slots? */
async function leads(entry: NodeEntry | undefined, connections: Connections): Promise<boolean> {
  if (!entry || entry.noaddr) return false;
  const { address, port, busPort } = entry;
  const node = await observeNode(entry.id, { address, port, busPort }, [], connections);
  return node.answering && node.id === entry.id && self(node).role === "master" && self(node).slots.length > 0;
}

/** The master's replica with the most data, among those whose link is up. */
async function replicaInSync(master: AnsweringNode, connections: Connections): Promise<NodeEndpoint | undefined> {
  const entries = master.view.filter((e) => e.role === "replica" && e.masterId === master.id && e.health === "ok");
  const replicas = await Promise.all(
    entries.map((e) => observeNode(e.id, { address: e.address, port: e.port, busPort: e.busPort }, [], connections)),
  );
  const synced = replicas.filter((r) => r.answering).filter((r) => r.replication.linkUp && !r.replication.syncing);
  return synced.sort((a, b) => b.replication.offset - a.replication.offset)[0]?.endpoint;
}
