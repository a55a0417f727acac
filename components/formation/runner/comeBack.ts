import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../../config/types";
import { endpointOf, type NodeEntry } from "../clusterNodes";
import { type AnsweringNode, isBlank, type NodeObservation, self } from "../observation";
import { LOOK_MILLISECONDS, observeNode, parseInfo } from "../observe";
import { countSlots, formatRanges, SLOT_COUNT } from "../slots";
import type { Step } from "../steps";
import type { Connections } from "../wire";
import { leaveIfOrphaned } from "./engineWatch";
import type { GuardInputs, GuardWork } from "./guard";
import { isYetToForm, notedLeader, wasGuarded } from "./knowledge";
import { Patience } from "./patience";
import { peersOf } from "./peers";
import { Revival } from "./revival";

/** How long a node that is on its way may stand still. */
export const SYNC_PATIENCE_MILLISECONDS = 60_000;

/**
 * Ends when the node is in sync, so that the next machine of the chain may go. A node that is in no cluster yet is let through at
 * once, and so is each where no run has formed the cluster, as when data of a destroyed one serve it; formation takes it from there. One that was in it and came back without its data is joined again here: formation
 * comes only after all machines, and the next one might hold the other copy.
 * @throws Error with what was seen last
 */
export async function comeBack(work: GuardWork): Promise<void> {
  const { inputs, connections, watch } = work;
  const patience = new Patience(SYNC_PATIENCE_MILLISECONDS);
  const revival = new Revival(inputs.cluster);
  for (;;) {
    const node = await observeNode(inputs.node, inputs.endpoint, [], connections);
    if (node.answering && isYetToForm(inputs.cluster)) return;
    const lost = node.answering && hasNothing(node) && (await place(work, node));
    if (node.answering && !lost && (isBlank(node) || (await isInSync(work, node)))) return;
    leaveIfOrphaned(watch);
    const state = lost && node.answering ? await rejoin(work, node, lost) : describe(node);
    // After a reboot everybody is dead, and those behind this one in the chain make up the majority.
    await revival.attempt();
    leaveIfOrphaned(watch);
    // Whatever is said of one that does not answer, nothing has moved.
    if (patience.isOver(node.answering ? state : "no answer")) {
      throw new Error(
        `${inputs.node} is not in sync, and nothing has moved for ${SYNC_PATIENCE_MILLISECONDS / 1000} s: ${state}. Look at its log, then run \`up\` again: it goes on from here.${revival.failures}`,
      );
    }
    await setTimeout(100);
  }
}

function hasNothing(node: AnsweringNode): boolean {
  const own = self(node);
  return node.keys === 0 && own.role === "master" && own.slots.length === 0 && own.openSlots.length === 0;
}

async function isInSync({ inputs, connections }: GuardWork, node: AnsweringNode): Promise<boolean> {
  if (node.state !== "ok" || !node.replication.linkUp) return false;
  // With its data but without its nodes.conf it thinks itself a cluster of its own.
  const alone = node.view.length === 1 && wasGuarded(inputs.cluster, inputs.node);
  return !alone || !(await peersOf(inputs, connections)).some(isFormed);
}

function describe(node: NodeObservation): string {
  if (!node.answering) return node.reason;
  const { linkUp, offset, progress } = node.replication;
  return `cluster_state:${node.state}, replication ${linkUp ? "up" : "down"} at offset ${offset}${progress ? `, copied ${progress}` : ""}`;
}

/** Where an emptied node belongs, by the word of the others. */
interface Place {
  readonly peers: readonly AnsweringNode[];
  /** The master that lacks a replica; undefined while the node's former self has not been replaced by an election yet. */
  readonly master: NodeEntry | undefined;
}

/**
 * Undefined where the node was not a member, as far as the others tell: none of them misses anybody, or no master lacks a
 * replica.
 * @throws Error where its slots have nobody left to take them over
 */
async function place({ inputs, connections }: GuardWork, node: AnsweringNode): Promise<Place | undefined> {
  if (!wasGuarded(inputs.cluster, inputs.node)) return undefined;
  const peers = (await peersOf(inputs, connections)).filter(isFormed);
  const view = peers[0]?.view ?? [];
  const isHere = (e: NodeEntry) => e.address === inputs.endpoint.address && e.port === inputs.endpoint.port;
  const isFormer = (e: NodeEntry) =>
    e.id !== node.id && !e.handshake && (e.noaddr || e.health !== "ok" || !e.linked || isHere(e));
  const former = view.filter(isFormer);
  if (former.length === 0) return undefined;
  const isHealthy = (e: NodeEntry) => !isFormer(e) && e.id !== node.id && !e.handshake;
  const replicasOf = (master: NodeEntry) => view.filter((e) => e.masterId === master.id && isHealthy(e)).length;
  for (const entry of former) {
    if (entry.slots.length === 0) continue;
    if (replicasOf(entry) > 0) return { peers, master: undefined };
    throw new Error(
      `${inputs.node} came back without its data, and no other node has a copy: slots ${formatRanges(entry.slots)} are without an owner. The machines after it stay as they are. Bring its data folder back (or the setting that changed it) and run \`up\` again, or restore a backup.`,
    );
  }
  const masters = view.filter((e) => e.role === "master" && e.slots.length > 0 && isHealthy(e));
  const before = masters.find((e) => e.id === notedLeader(inputs.cluster, inputs.node));
  const master = before ?? (await shortOfReplicas(masters, inputs, connections));
  return master && { peers, master };
}

/** The master with the fewest replicas connected, by its own word: views lag behind while nodes come and go. */
async function shortOfReplicas(
  masters: readonly NodeEntry[],
  inputs: GuardInputs,
  connections: Connections,
): Promise<NodeEntry | undefined> {
  const counted = await Promise.all(
    masters.map(async (master) => {
      const [info] = await connections.send(endpointOf(master), [["INFO", "replication"]], {
        withinMilliseconds: LOOK_MILLISECONDS,
      });
      const replicas = info?.ok ? Number(parseInfo(String(info.value))["connected_slaves"]) : Number.POSITIVE_INFINITY;
      return { master, replicas };
    }),
  );
  const short = counted.filter(({ replicas }) => replicas < inputs.replicasPerMaster);
  return short.sort((a, b) => a.replicas - b.replicas)[0]?.master;
}

/** In a cluster whose slots all have an owner, in its own view. */
function isFormed(peer: AnsweringNode): boolean {
  return peer.view.reduce((sum, e) => sum + countSlots(e.slots), 0) === SLOT_COUNT;
}

/** One more step of joining again; answers with how far it has come. */
async function rejoin(work: GuardWork, node: AnsweringNode, { peers, master }: Place): Promise<string> {
  const { inputs } = work;
  if (!master) return "its replica has not taken over yet";
  const endpoints: Record<string, NodeEndpoint> = { [inputs.node]: inputs.endpoint };
  const known = node.view.some((e) => e.id === master.id && !e.handshake);
  const meet = ({ endpoint: { address, port, busPort } }: AnsweringNode): Step[] => {
    const met = node.view.some((e) => e.address === address && e.port === port);
    return met ? [] : [{ do: "meet", node: inputs.node, peer: "peer", address, port, busPort }];
  };
  const steps: Step[] = known
    ? [{ do: "replicate", node: inputs.node, shard: "", master: master.id, masterId: master.id }]
    : peers.flatMap(meet);
  const where = `${master.address}:${master.port}`;
  if (known) console.log(`${inputs.cluster}: ${inputs.node} came back without its data; it copies them from ${where}`);
  if (steps.length > 0) await work.change(peers[0]?.view ?? [], endpoints, steps);
  return known ? `told to follow ${where}` : `joining again, to follow ${where}`;
}
