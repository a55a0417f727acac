import type { NodeEndpoint } from "../config/types";
import type { ObservedCertificates } from "./certificates";
import type { NodeEntry, OpenSlot } from "./clusterNodes";
import type { ObservedUsers } from "./users";

/** The cluster as every node itself reports it, at one moment. Nothing is merged or judged here. */
export interface ClusterObservation {
  /** In the order of the plan. */
  readonly nodes: readonly NodeObservation[];
  /** As a refresh asks them: nodes in the views of these that it has no name for (here their address). Default: not asked for. */
  readonly strangers?: readonly NodeObservation[];
}

export type NodeObservation = AnsweringNode | SilentNode;

/** Set on a member that the declaration no longer has: where it belonged. It is emptied, then retired. */
export interface Leaving {
  readonly shard: string;
  readonly zone: string;
}

/** A node that did not answer. That says nothing about whether it still serves. */
export interface SilentNode {
  readonly answering: false;
  readonly name: string;
  readonly leaving?: Leaving;
  readonly endpoint: NodeEndpoint;
  /** Why, in the words of the operating system or the server. */
  readonly reason: string;
  /** The connection was refused: its host is there, and no server of this node runs on it. */
  readonly notListening?: true;
}

export interface AnsweringNode {
  readonly answering: true;
  readonly name: string;
  readonly leaving?: Leaving;
  readonly endpoint: NodeEndpoint;
  readonly id: string;
  readonly server: { readonly name: "redis" | "valkey"; readonly version: string; readonly clusterEnabled: boolean };
  /** Every node that this one knows, itself included. Handshakes are entries too. */
  readonly view: readonly NodeEntry[];
  /** `cluster_state`. */
  readonly state: "ok" | "fail";
  readonly currentEpoch: number;
  /** Keys in its database, a replica's copies included (DBSIZE). */
  readonly keys: number;
  readonly memory: { readonly usedBytes: number; readonly maxBytes: number };
  readonly replication: {
    /** `master_link_status:up`; true for a master. */
    readonly linkUp: boolean;
    /** Loading a dataset or taking a full copy from its master. */
    readonly syncing: boolean;
    /** How far a copy, a dump or a load under way has come, as text: a change of it is progress. */
    readonly progress?: string;
    /** `master_repl_offset`: position in the replication stream. */
    readonly offset: number;
    /** Seconds since the last word from its master; 0 for a master. */
    readonly lagSeconds: number;
  };
  /** Why its disk may lack what it holds, though it is set to save: a save that failed, or the first append-only file under way. */
  readonly unsaved?: string;
  /** Values of the directives that were asked for, as CONFIG GET prints them. */
  readonly settings: Readonly<Record<string, string>>;
  /** Absent where they were not asked for. */
  readonly users?: ObservedUsers;
  /** Absent where they were not asked for, and without TLS. */
  readonly certificates?: ObservedCertificates;
  /** When the certificate ends that it showed, as ISO 8601. Absent without TLS. */
  readonly certificateExpires?: string;
}

/** The node's own line in its own view. */
export function self(node: AnsweringNode): NodeEntry {
  const entry = node.view.find((e) => e.myself);
  if (!entry) throw new Error(`${node.name} does not list itself in CLUSTER NODES`);
  return entry;
}

export function answering(observation: ClusterObservation): AnsweringNode[] {
  return observation.nodes.filter((n) => n.answering);
}

export function openSlotsOf(node: AnsweringNode): readonly OpenSlot[] {
  return self(node).openSlots;
}

/** Empty and alone: it knows nobody, owns no slot, holds no key and never took part in anything. */
export function isBlank(node: AnsweringNode): boolean {
  const own = self(node);
  return (
    node.keys === 0 &&
    own.role === "master" &&
    own.slots.length === 0 &&
    own.openSlots.length === 0 &&
    node.view.length === 1
  );
}

/** Without the members that have left: emptied, reset, alone. They wait for their machines to be deleted. */
export function withoutRetired(observation: ClusterObservation): ClusterObservation {
  const retired = (n: NodeObservation) => n.leaving !== undefined && n.answering && isBlank(n);
  return observation.nodes.some(retired) ? { nodes: observation.nodes.filter((n) => !retired(n)) } : observation;
}

/**
 * A replica that is in sync by its offset may hold other data all the same: it may have deleted keys of its own accord while it was
 * a master. Counts of both are taken moments apart and differ a little; a copy holds more than half.
 */
export function holdsCopyOf(leader: AnsweringNode, replica: AnsweringNode): boolean {
  return replica.keys * 2 >= leader.keys;
}
