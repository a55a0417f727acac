import type { Login } from "../../access/types";
import type { NodeEndpoint } from "../../config/types";
import type { Machine } from "../goal";
import type { Access } from "../wire";
import { discardLeft, leaveForPlanner, takeFromReader } from "./handover";

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
  /** A refresh of this command told of a guard. */
  refreshed: boolean;
  /** Its formation is in the state, as a refresh of this command tells. */
  formed: boolean;
  /** How the program of this command logs in. */
  access?: Access;
  /** Whose certificates nodes show. */
  authority?: number | undefined;
  /** Machines are to be replaced, each by its successor. */
  rolls: boolean;
  /** How to start machines that died. */
  revive?: Revive;
  reviving?: Promise<Revived> | undefined;
}

/** What came of starting every machine of a cluster again that does not run. */
export interface Revived {
  readonly started: readonly { readonly name: string; readonly endpoint: NodeEndpoint }[];
  /** Why others could not be, a sentence each. */
  readonly failures: readonly string[];
}

/** Starts what should run and does not, just as it was; leaves alone what runs. */
export type Revive = () => Promise<Revived>;

const clusters = new Map<string, Heard>();

function heardOf(cluster: string): Heard {
  const heard = clusters.get(cluster) ?? {
    declared: false,
    dismantled: false,
    created: false,
    nodes: new Map(),
    leaders: new Map(),
    guarded: new Set(),
    refreshed: false,
    formed: false,
    rolls: false,
  };
  clusters.set(cluster, heard);
  return heard;
}

export function markDeclared(cluster: string): void {
  const heard = heardOf(cluster);
  // Every node of the cluster comes by here; the refresh has ended before the first of them.
  if (heard.declared) return;
  heard.declared = true;
  for (const part of takeFromReader(cluster, "stack") as PartOfStack[]) {
    if ("formed" in part) {
      heard.formed = true;
      continue;
    }
    if (!heard.nodes.has(part.node)) heard.nodes.set(part.node, part.endpoint);
    heard.guarded.add(part.node);
    heard.refreshed = true;
  }
}

/** What the process that refreshed tells the one that plans: all in one file, since part of it alone would mislead. */
type PartOfStack = { readonly node: string; readonly endpoint: NodeEndpoint } | { readonly formed: true };

function leavePart(cluster: string, part: PartOfStack): void {
  leaveForPlanner(cluster, "stack", part);
}

export function markCreated(cluster: string): void {
  heardOf(cluster).created = true;
}

/** Called when formation is destroyed, which Pulumi does before anything that it depends on. */
export function markDismantled(cluster: string): void {
  heardOf(cluster).dismantled = true;
  discardLeft(cluster);
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

/** A node that the stack has with its guard, as its refresh tells; the process that plans is told too. */
export function noteRecorded(cluster: string, node: string, endpoint: NodeEndpoint): void {
  noteNode(cluster, node, endpoint);
  noteGuarded(cluster, node);
  heardOf(cluster).refreshed = true;
  leavePart(cluster, { node, endpoint });
}

/** The stack has a formation, as its refresh tells; the process that plans is told too. */
export function noteFormed(cluster: string): void {
  heardOf(cluster).formed = true;
  leavePart(cluster, { formed: true });
}

/**
 * No run has got as far as to form this cluster: so its nodes serve nobody yet, whatever they may have kept of a former life, and none
 * has to wait for those behind it in the chain. Where nothing was refreshed, guards of before say that it may serve.
 */
export function isYetToForm(cluster: string): boolean {
  const { guarded, refreshed, formed } = heardOf(cluster);
  return guarded.size === 0 || (refreshed && !formed);
}

/** Whose certificates all nodes were last proved to show, as a refresh of the stack tells: a generation. */
export function noteAuthority(cluster: string, generation: number): void {
  heardOf(cluster).authority = generation;
  leaveForPlanner(cluster, "authority", generation);
}

/** Undefined where this command began without a refresh, and before anything was proved. */
export function notedAuthority(cluster: string): number | undefined {
  const heard = heardOf(cluster);
  const left = takeFromReader(cluster, "authority") as number[];
  heard.authority ??= left.at(-1);
  return heard.authority;
}

export function notedNodes(cluster: string): ReadonlyMap<string, NodeEndpoint> {
  return heardOf(cluster).nodes;
}

/** The same, as machines of the stack: a node's name says what it was made for (`nodeName` of placement). */
export function notedMachines(cluster: string): Machine[] {
  return [...notedNodes(cluster)].flatMap(([name, endpoint]) => {
    const made = madeFor(cluster, name);
    return made ? [{ name, ...made, endpoint }] : [];
  });
}

export function madeFor(cluster: string, name: string): { shard: string; zone: string } | undefined {
  const made = name.startsWith(`${cluster}-`) ? /^(\d+)-(.+?)(?:-\d+)?$/.exec(name.slice(cluster.length + 1)) : null;
  return made?.[2] === undefined ? undefined : { shard: `shard-${made[1]}`, zone: made[2] };
}

/** For platforms where nothing else starts a machine again that has died: a roll may need it before its turn. */
export function noteRevive(cluster: string, revive: Revive): void {
  heardOf(cluster).revive = revive;
}

/** One at a time, whoever asks. */
export async function reviveMachines(cluster: string): Promise<Revived> {
  const heard = heardOf(cluster);
  const revive = heard.revive ?? (async () => ({ started: [], failures: [] }));
  heard.reviving ??= revive().finally(() => {
    heard.reviving = undefined;
  });
  return heard.reviving;
}

export function noteGuarded(cluster: string, node: string): void {
  heardOf(cluster).guarded.add(node);
}

export function wasGuarded(cluster: string, node: string): boolean {
  return heardOf(cluster).guarded.has(node);
}

/** As the program of this command declares it: what a resource that goes recorded may be older. */
export function noteAccess(cluster: string, access: Access): void {
  heardOf(cluster).access = access;
}

/** Logins as recorded, then as declared now. Certificates as declared now, which are those of before and what came after them. */
export function withNotedAccess(cluster: string, recorded: Access): Access {
  const noted = heardOf(cluster).access;
  if (!noted) return recorded;
  const { otherwise = [], tls = recorded.tls, ways = recorded.ways, username, password } = noted;
  const closed = username !== undefined || password !== undefined;
  const first: Login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
  return {
    ...recorded,
    otherwise: [...(recorded.otherwise ?? []), ...(closed ? [first] : []), ...otherwise],
    ...(tls ? { tls } : {}),
    ...(ways ? { ways } : {}),
  };
}

export function markRolling(cluster: string): void {
  heardOf(cluster).rolls = true;
}

/** Of use to formation, whose plan comes after those of all guards. */
export function isRolling(cluster: string): boolean {
  return heardOf(cluster).rolls;
}

export function noteLeader(cluster: string, node: string, leaderId: string): void {
  heardOf(cluster).leaders.set(node, leaderId);
}

export function notedLeader(cluster: string, node: string): string | undefined {
  return heardOf(cluster).leaders.get(node);
}
