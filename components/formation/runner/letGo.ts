import { setTimeout } from "node:timers/promises";
import { endpointOf, type NodeEntry } from "../clusterNodes";
import { type AnsweringNode, holdsCopyOf, isBlank, type NodeObservation, self } from "../observation";
import { observeNode } from "../observe";
import { countSlots } from "../slots";
import type { Connections } from "../wire";
import { comeBack, SYNC_PATIENCE_MILLISECONDS } from "./comeBack";
import { leaveIfOrphaned } from "./engineWatch";
import type { GuardInputs, GuardWork } from "./guard";
import { goesOn, madeFor, noteLeader, noteNode, type Revived } from "./knowledge";
import { Patience } from "./patience";
import { peersOf } from "./peers";
import { Revival } from "./revival";

/** How long a reason to stay may last unchanged: long enough for a replica to be seen in sync, or a dead node to be noticed. */
const HOLD_MILLISECONDS = 10_000;
const HANDOVER_MILLISECONDS = 5_000;

/**
 * Ends when the machine may go: its slots are led by a replica in sync, or it holds no last copy of anything. A leader hands
 * its slots over here. Consent to lose the data counts when the cluster goes; while it goes on, as in a roll or a
 * scale-in, a machine that holds what nobody else does stays, or a roll could take one copy after the other.
 * @throws Error with why it stays
 */
export async function letGo(work: GuardWork): Promise<void> {
  const { cluster } = work.inputs;
  const consented = work.inputs.dataOnDestroy === "delete" && !goesOn(cluster);
  let patience = new Patience(consented ? 0 : HOLD_MILLISECONDS);
  const revival = new Revival(cluster);
  for (let trouble = ""; ; ) {
    const obstacle = await obstacleTo(work, consented);
    leaveIfOrphaned(work.watch);
    if (obstacle === undefined) return;
    const started = consented ? [] : await revival.attempt();
    leaveIfOrphaned(work.watch);
    if (started.length > 0) {
      trouble = await fellowsInSync(work, started);
      patience = new Patience(SYNC_PATIENCE_MILLISECONDS);
    }
    if (patience.isOver(obstacle)) throw new Error(`${obstacle}${revival.failures}${trouble}`);
    await setTimeout(100);
  }
}

/** Of the machines that were started again, those of this shard: one that lost its data is joined again. @returns what went wrong */
async function fellowsInSync(work: GuardWork, started: Revived["started"]): Promise<string> {
  const { cluster, node } = work.inputs;
  const shard = madeFor(cluster, node)?.shard;
  const fellows = started.filter(({ name }) => name !== node && madeFor(cluster, name)?.shard === shard);
  const waits = fellows.map(({ name, endpoint }) =>
    comeBack({ ...work, inputs: { ...work.inputs, node: name, endpoint } }),
  );
  const results = await Promise.allSettled(waits);
  return results.map((r) => (r.status === "rejected" ? ` ${(r.reason as Error).message}` : "")).join("");
}

/** Why the machine has to stay for now; undefined where it may go. */
async function obstacleTo(work: GuardWork, consented: boolean): Promise<string | undefined> {
  const { inputs, connections } = work;
  const node = await observeNode(inputs.node, inputs.endpoint, ["appendonly", "save"], connections);
  const over = consented ? undefined : await certificatesOver(work, node);
  if (over !== undefined) return over;
  if (!node.answering) {
    if (consented || (await mayGoSilently(work))) return undefined;
    return `${inputs.node} does not answer here (${node.reason}), and no other node says that it is out of service: it may be serving. It stays. Bring it back, or let this machine reach it, and run \`up\` again.`;
  }
  // Who to ask about it when its successor comes back: of the first of a chain, inputs name nobody.
  for (const entry of node.view)
    if (!entry.noaddr && !entry.myself) noteNode(inputs.cluster, entry.id, endpointOf(entry));
  const own = self(node);
  if (own.masterId !== undefined) noteLeader(inputs.cluster, inputs.node, own.masterId);
  if (own.role === "replica") {
    const master = node.view.find((e) => e.id === own.masterId);
    if (consented || node.keys === 0 || (await leads(master, connections))) return undefined;
    return `${inputs.node} may hold the last copy of its shard: its master ${master?.address ?? ""}:${master?.port ?? ""} does not answer as a master. It stays; bring the master back or let a failover end, and run \`up\` again.`;
  }
  if (own.slots.length === 0) return consented || isOnDisk(node) ? undefined : onTheirWay(inputs, node);
  // A destroy that was killed halfway left too few masters to elect anyone: nothing can be handed over any more, only lost.
  if (consented && !(await mastersHaveMajority(node, connections))) return undefined;
  return handOver(work, node, consented);
}

/**
 * Nodes whose certificates are over go on with the links that they have. One that restarts gets no link to them, and its guard would wait in
 * vain, ahead of formation, which renews certificates: each run would stop there.
 */
async function certificatesOver(
  { inputs, connections }: GuardWork,
  node: NodeObservation,
): Promise<string | undefined> {
  if (!inputs.access.tls || !goesOn(inputs.cluster)) return undefined;
  const others = node.answering
    ? await Promise.all(
        node.view
          .filter((e) => !e.myself && !e.noaddr && !e.handshake)
          .map((e) => observeNode(e.id, endpointOf(e), [], connections)),
      )
    : await peersOf(inputs, connections);
  const ends = [node, ...others].flatMap((n) => (n.answering && n.certificateExpires ? [n.certificateExpires] : []));
  const over = ends.filter((end) => Date.parse(end) <= Date.now()).sort();
  if (over.length === 0) return undefined;
  return `certificates of ${over.length} nodes are over (since ${over[0]}): a node that restarts now would not find them again. ${inputs.node} stays. Take back what restarts nodes and run \`up\`, which renews certificates without a restart; then declare it again.`;
}

async function handOver(work: GuardWork, node: AnsweringNode, consented: boolean): Promise<string | undefined> {
  const { inputs } = work;
  const { heir, replicas } = await heirOf(node, work.connections);
  if (heir) {
    const trouble = await handOverTo(work, node, heir);
    return trouble && `${trouble}; it stays. Run \`up\` again.`;
  }
  if (consented) return undefined;
  if (inputs.replicasPerMaster === 0) return pause(inputs, node);
  const copying = replicas.flatMap((r) => r.replication.progress ?? []).join(", ");
  return `${inputs.node} owns ${countSlots(self(node).slots)} slots and has no replica in sync to take them${copying && ` (one is copying: ${copying})`}; it stays. Wait until its replica is in sync, or mend that first, and run \`up\` again; to end a destroy that was interrupted, run \`up\` and then destroy.`;
}

/** Replicas that answer, and the one of them that is in sync and furthest. */
export async function heirOf(
  node: AnsweringNode,
  connections: Connections,
): Promise<{ readonly heir: AnsweringNode | undefined; readonly replicas: readonly AnsweringNode[] }> {
  const replicas = await replicasOf(node, connections);
  const [heir] = replicas
    .filter((r) => r.replication.linkUp && !r.replication.syncing && holdsCopyOf(node, r))
    .sort((a, b) => b.replication.offset - a.replication.offset);
  return { heir, replicas };
}

/**
 * Has a replica lead in a node's place. @param actors members that are asked whose turn it is
 * @returns why it does not; undefined once it does
 * @throws AnotherActor when somebody else goes on changing the cluster
 */
export async function handOverTo(
  work: GuardWork,
  node: AnsweringNode,
  heir: AnsweringNode,
  actors: readonly NodeEntry[] = node.view,
): Promise<string | undefined> {
  const { inputs, connections } = work;
  const slots = countSlots(self(node).slots);
  const { address, port } = heir.endpoint;
  if (!(await votersKnow(node, heir, connections)))
    return `${inputs.node} owns ${slots} slots; its replica at ${address}:${port} is in sync, and the masters that have to vote for it have not heard that it is one`;
  console.log(`${inputs.cluster}: ${inputs.node} hands ${slots} slots to its replica at ${address}:${port}`);
  await work.change(actors, { heir: heir.endpoint }, [{ do: "failover", node: "heir", shard: "", from: inputs.node }]);
  leaveIfOrphaned(work.watch);
  // The heir leads before this node has heard of it.
  for (const until = Date.now() + HANDOVER_MILLISECONDS; Date.now() < until; await setTimeout(20)) {
    const after = await observeNode(inputs.node, inputs.endpoint, [], connections);
    if (!after.answering || self(after).slots.length > 0) continue;
    noteLeader(inputs.cluster, inputs.node, heir.id);
    return undefined;
  }
  return `${inputs.node} still owns ${slots} slots after a failover was asked for`;
}

/**
 * Would a majority of the masters vote for this replica? One that has only just joined is a master of its own to those that no ping
 * has told otherwise; they ignore it, and a replica that was not elected does not ask again for four node timeouts.
 */
async function votersKnow(master: AnsweringNode, heir: AnsweringNode, connections: Connections): Promise<boolean> {
  const others = master.view.filter((e) => e.role === "master" && e.slots.length > 0 && !e.myself);
  const votes = await Promise.all(
    others.map(async (other) => {
      const voter = await observeNode(other.id, endpointOf(other), [], connections);
      return voter.answering && voter.view.some((e) => e.id === heir.id && e.masterId === master.id);
    }),
  );
  // The master itself votes too.
  return (1 + votes.filter(Boolean).length) * 2 > 1 + others.length;
}

/** Keys of a move that was cut short before the first of its slots was closed: what owns no slot cannot be failed over. */
function onTheirWay({ node: name }: GuardInputs, node: AnsweringNode): string {
  return `${name} owns no slot and holds ${node.keys} keys of slots on their way to it, in memory only (no persistence): they would be lost. It stays. Take back what restarts it, so that \`up\` ends the move first, then declare it again.`;
}

/** Does nothing get lost where it stops and starts again? */
export function isOnDisk({ settings: { appendonly, save }, keys }: AnsweringNode): boolean {
  return appendonly !== "no" || (save ?? "") !== "" || keys === 0;
}

/** A shard declared without replicas can only pause, with its data on disk. */
function pause(inputs: GuardInputs, node: AnsweringNode): string | undefined {
  if (isOnDisk(node) || inputs.dataOnDestroy === "delete") return undefined;
  return `${inputs.node} holds ${node.keys} keys in memory only (no persistence) and has no replica: they would be lost. It stays. Declare a replica or persistence first, or agree to the loss by dataOnDestroy "delete", and run \`up\` again.`;
}

/**
 * May a silent machine go? A run that was killed between its deletion and its creation comes by here again, with the machine
 * already gone and its data on their volume. What must not go is one that is silent only from here: the others tell. Where
 * nobody can, it goes only with consent.
 */
export async function mayGoSilently({ inputs, connections }: GuardWork): Promise<boolean> {
  const { address, port } = inputs.endpoint;
  const peers = (await peersOf(inputs, connections)).filter((p) => !isBlank(p));
  const entries = peers.map((p) => p.view.find((e) => e.address === address && e.port === port));
  if (entries.length === 0) return inputs.dataOnDestroy === "delete";
  return entries.every((entry) => entry === undefined || entry.health !== "ok" || !entry.linked);
}

/** Do enough masters answer to elect another one? */
export async function mastersHaveMajority(node: AnsweringNode, connections: Connections): Promise<boolean> {
  const masters = node.view.filter((e) => e.role === "master" && e.slots.length > 0);
  const answers = await Promise.all(masters.map((e) => e.myself || leads(e, connections)));
  return answers.filter(Boolean).length * 2 > masters.length;
}

/** Does this node answer, as a master with slots? */
export async function leads(entry: NodeEntry | undefined, connections: Connections): Promise<boolean> {
  if (!entry || entry.noaddr) return false;
  const node = await observeNode(entry.id, endpointOf(entry), [], connections);
  return node.answering && node.id === entry.id && self(node).role === "master" && self(node).slots.length > 0;
}

/** Replicas of this master that answer and that it does not doubt. */
async function replicasOf(master: AnsweringNode, connections: Connections): Promise<AnsweringNode[]> {
  const entries = master.view.filter((e) => e.role === "replica" && e.masterId === master.id && e.health === "ok");
  const replicas = await Promise.all(entries.map((e) => observeNode(e.id, endpointOf(e), [], connections)));
  return replicas.filter((r) => r.answering).filter((r) => self(r).masterId === master.id);
}
