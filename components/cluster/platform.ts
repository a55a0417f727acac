import type * as pulumi from "@pulumi/pulumi";
import type { DirectiveSplit, NodeEndpoint } from "../config/types";
import type { Access } from "../formation/wire";
import type { NodeNames } from "../security/certificates";
import type { NodeTlsFiles } from "../security/files";
import type { ClusterSpec } from "../spec/spec";
import type { PlannedNode } from "../topology/plan";

/** The port that every platform implements: make one node, say how to reach it. Nothing else differs between platforms. */
export interface Platform {
  /** `local`, `docker`, `aws`, … */
  readonly name: string;
  /** Declares the resources of one node, its data among them. Called once a node, in a stable order. */
  declareNode(request: NodeRequest): PlatformNode;
  /** What a node's certificate is to carry, before the node is there: where it will listen, and any names that it has. */
  namesOf(request: Pick<NodeRequest, "spec" | "node" | "ordinal" | "parent">): pulumi.Input<NodeNames>;
  /** Where this machine reaches nodes that it does not reach at their own addresses: `host:port` by `address:port`. Absent: everywhere at their own. */
  waysTo?(spec: ClusterSpec, parent: pulumi.Resource): pulumi.Output<Readonly<Record<string, string>>> | undefined;
}

export interface NodeRequest {
  readonly spec: ClusterSpec;
  readonly node: PlannedNode;
  /** The node's number in the cluster, see `ordinalOf`: for platforms that count ports or addresses. */
  readonly ordinal: number;
  /** Everything but endpoint and storage, which the platform adds. `live` is for the first file only; a change of it must not touch the node. */
  readonly directives: DirectiveSplit;
  /** Absent: the cluster is open. */
  readonly login?: pulumi.Output<NodeLogin>;
  /** Absent: without TLS. */
  readonly tls?: pulumi.Output<NodeTls>;
  /** The component; every resource is its child. */
  readonly parent: pulumi.Resource;
  /** What must exist before the machine: the guard of the node before it, so that machines roll one after the other. */
  readonly after: pulumi.Resource[];
}

/** What a node starts with where users are declared. From then on users are formation's: a change of it must not touch the node. Secret. */
export interface NodeLogin {
  /** Text of users.acl: hashes only. */
  readonly usersAcl: string;
  /** `masteruser` and `masterauth`. */
  readonly replication: { readonly username: string; readonly password: string };
  /** For what looks after the node's health beside it, the latest password first. */
  readonly monitor: { readonly username: string; readonly passwords: readonly string[] };
  /** How to speak to the cluster's nodes, for what a platform does of its own. */
  readonly access: Access;
}

/**
 * A node's TLS. The files are to be there before formation has the server load them; which of them a node loads is for its first
 * start only, from then on formation says. A change of it must not replace the node. Secret.
 */
export interface NodeTls extends NodeTlsFiles {
  /** How to speak to the cluster's nodes, for what a platform does of its own. */
  readonly access: Access;
}

export interface PlatformNode {
  readonly endpoint: pulumi.Output<NodeEndpoint>;
  /** Changes when, and only when, the machine is replaced; known at preview where the platform can. */
  readonly instance: pulumi.Output<string>;
  /** What the node's guard depends on. */
  readonly machine: pulumi.Resource;
}
