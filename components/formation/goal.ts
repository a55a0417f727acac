import type { NodeEndpoint } from "../config/types";
import type { Engine } from "../spec/spec";
import type { PlannedNode, TopologyPlan } from "../topology/plan";
import type { CertificatesGoal } from "./certificates";
import type { UsersGoal } from "./users";

/** Where formation is to get to. Plain data: a pure function of the declaration and the nodes' endpoints. */
export interface FormationGoal {
  /** The cluster's name. */
  readonly cluster: string;
  readonly engine: Engine;
  readonly plan: TopologyPlan;
  /** Endpoint of every node of the plan, by node name. */
  readonly endpoints: Readonly<Record<string, NodeEndpoint>>;
  /** Live settings that every node must report: directive → value as CONFIG GET prints it. */
  readonly settings: Readonly<Record<string, string>>;
  /** The same of what differs from node to node, by node. Default: none. */
  readonly nodeSettings?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `cluster-node-timeout` as declared, in milliseconds. */
  readonly nodeTimeoutMilliseconds: number;
  /** Who may log in; absent where users are not managed, as in an open cluster. */
  readonly logins?: UsersGoal;
  /** Set where nodes speak TLS only, and their certificates are managed. */
  readonly certificates?: CertificatesGoal;
  /** Set where somebody else provides the nodes; absent where they are made by this stack. */
  readonly given?: GivenNodes;
}

/** What a node is to report, by directive: what is declared of all, and of this one. */
export function settingsOf({ settings, nodeSettings }: FormationGoal, node: string): Readonly<Record<string, string>> {
  return { ...settings, ...nodeSettings?.[node] };
}

/** Nodes that are not this stack's own: only what is declared of them is managed, and their machines are left alone. */
export interface GivenNodes {
  /** How many slots each shard is to own, by shard; they add up to 16384. Absent: all the same, give or take one. */
  readonly slotShares?: Readonly<Record<string, number>>;
}

/**
 * A node that belongs to the cluster, kept in the stack's state through failures. An entry goes only after its
 * retirement was verified: a node whose replacement was interrupted is still ours in the next run, never foreign.
 */
export interface Member {
  /** Stable node name, as planned. */
  readonly name: string;
  /** The shard it belongs to, by name. */
  readonly shard: string;
  readonly zone: string;
  /** The ID that the server made, 40 hex digits. */
  readonly id: string;
  readonly endpoint: NodeEndpoint;
  /** `stale`: an ID that the named node no longer has, because its nodes.conf was lost; to be forgotten everywhere. */
  readonly state: "member" | "stale";
}

/** A server that this stack runs, and what it was made for. */
export interface Machine extends PlannedNode {
  readonly endpoint: NodeEndpoint;
}

/** What is remembered between runs; everything else is observed. */
export interface History {
  readonly members: readonly Member[];
  /** As they were before this look added what answered; default: `members`. What a stack has never seen is not its own. */
  readonly recorded?: readonly Member[];
  /**
   * Machines that the stack has, declared or not; default: none but the declared. A node that joined in a run that was killed,
   * and that is not declared any more, was never recorded as a member; its machine tells whose it is.
   */
  readonly machines?: readonly Machine[];
  /** Full coverage was proved once. From then on an unowned slot means lost data, not an unfinished formation. */
  readonly verified: boolean;
}
