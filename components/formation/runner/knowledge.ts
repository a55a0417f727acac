import type { NodeEndpoint } from "../../config/types";
import type { Machine } from "../goal";

/**
 * What this provider process has heard of each cluster. A process lives for one command of Pulumi, and every resource of
 * the stack speaks through it: that tells a roll from a destroy, and knows nodes that a single guard's inputs do not.
 */
interface Heard {
  /** The program of this command declares the cluster: it is to go on, whatever is deleted of it meanwhile. */
  declared: boolean;
  /** Its formation was destroyed, so all of it is going. */
  dismantled: boolean;
  /** Its formation was created: one that is destroyed after that was only replaced. */
  created: boolean;
  /** Nodes that the stack has, by name, each as recorded. */
  readonly nodes: Map<string, NodeEndpoint>;
  /** Who led the shard of a node when its machine was let go, by node name: a node ID. */
  readonly leaders: Map<string, string>;
  /** Nodes that had a guard before this command. */
  readonly guarded: Set<string>;
  /** How to start a node's machine again, by node name. */
  readonly restarts: Map<string, Restart>;
}

/** Starts a machine again just as it was, where it does not run. Answers false, and does nothing, where it runs or was replaced. */
export type Restart = () => Promise<boolean>;

const clusters = new Map<string, Heard>();

function heardOf(cluster: string): Heard {
  const heard = clusters.get(cluster) ?? {
    declared: false,
    dismantled: false,
    created: false,
    nodes: new Map(),
    leaders: new Map(),
    guarded: new Set(),
    restarts: new Map(),
  };
  clusters.set(cluster, heard);
  return heard;
}

export function markDeclared(cluster: string): void {
  heardOf(cluster).declared = true;
}

export function markCreated(cluster: string): void {
  heardOf(cluster).created = true;
}

/** Called when formation is destroyed, which Pulumi does before anything that it depends on. */
export function markDismantled(cluster: string): void {
  heardOf(cluster).dismantled = true;
}

/** The machines go with their whole cluster: there is nothing left to guard. */
export function isDismantled(cluster: string): boolean {
  const { created, dismantled } = heardOf(cluster);
  return dismantled && !created;
}

/** The cluster outlives this command: consent to lose data with the cluster does not count for one of its machines. */
export function goesOn(cluster: string): boolean {
  return heardOf(cluster).declared;
}

export function noteNode(cluster: string, node: string, endpoint: NodeEndpoint): void {
  heardOf(cluster).nodes.set(node, endpoint);
}

export function notedNodes(cluster: string): ReadonlyMap<string, NodeEndpoint> {
  return heardOf(cluster).nodes;
}

/** The same, as machines of the stack: a node's name says what it was made for (`nodeName` of placement). */
export function notedMachines(cluster: string): Machine[] {
  return [...notedNodes(cluster)].flatMap(([name, endpoint]) => {
    const made = name.startsWith(`${cluster}-`) ? /^(\d+)-(.+?)(?:-\d+)?$/.exec(name.slice(cluster.length + 1)) : null;
    return made?.[2] === undefined ? [] : [{ name, shard: `shard-${made[1]}`, zone: made[2], endpoint }];
  });
}

/** For platforms where nothing else starts a machine again that has died: a shard that rolls may need it before its turn. */
export function noteRestart(cluster: string, node: string, restart: Restart): void {
  heardOf(cluster).restarts.set(node, restart);
}

/** The other nodes of a node's shard that can be started again. */
export function restartsOfFellows(
  cluster: string,
  node: string,
): { name: string; endpoint: NodeEndpoint; restart: Restart }[] {
  const machines = notedMachines(cluster);
  const shard = machines.find(({ name }) => name === node)?.shard;
  return machines.flatMap(({ name, endpoint, shard: its }) => {
    const restart = heardOf(cluster).restarts.get(name);
    return restart && its === shard && name !== node ? [{ name, endpoint, restart }] : [];
  });
}

export function noteGuarded(cluster: string, node: string): void {
  heardOf(cluster).guarded.add(node);
}

export function wasGuarded(cluster: string, node: string): boolean {
  return heardOf(cluster).guarded.has(node);
}

export function noteLeader(cluster: string, node: string, leaderId: string): void {
  heardOf(cluster).leaders.set(node, leaderId);
}

export function notedLeader(cluster: string, node: string): string | undefined {
  return heardOf(cluster).leaders.get(node);
}
