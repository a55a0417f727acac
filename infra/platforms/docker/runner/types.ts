import type { NodeLogin, NodeTls } from "../../../../components/cluster/platform";
import type { Directive, NodeEndpoint } from "../../../../components/config/types";
import type { Engine } from "../../../../components/spec/spec";

/** What the program declares of a cluster's network. */
export interface NetworkDeclaration {
  readonly cluster: string;
  /** Its name under the daemon. */
  readonly name: string;
  /** `<project>/<stack>/<cluster>`: a label of everything that is made, so that nothing else is ever touched. */
  readonly owner: string;
  /** The user's own; empty: one is found. */
  readonly wantedSubnet: string;
  /** The number that each node would like, by name. */
  readonly nodes: Readonly<Record<string, number>>;
  /** Limit of each container, which is judged here because this is planned before them. Absent: none. */
  readonly nodeMemoryBytes?: number;
  /** Empty: DOCKER_HOST, else this machine's own. */
  readonly dockerHost: string;
}

export interface NetworkInputs extends NetworkDeclaration {
  readonly subnet: string;
  readonly gateway: string;
  readonly ipRange: string;
  /** Of every node, by name. A node keeps its own as long as it is there. */
  readonly numbers: Readonly<Record<string, number>>;
  /** The same, as addresses. */
  readonly addresses: Readonly<Record<string, string>>;
}

export interface NetworkOutputs extends NetworkInputs {
  /** False when it was found missing: the next `up` makes it again. */
  readonly present: boolean;
}

/** What the program declares of the server in a container. */
export interface NodeDeclaration {
  readonly cluster: string;
  readonly name: string;
  readonly zone: string;
  readonly owner: string;
  readonly engine: Engine;
  /** The image's own ID, `sha256:…`. */
  readonly image: string;
  /** ID of the container; another one is another machine. */
  readonly containerId: string;
  /** Name of the volume with the node's data. */
  readonly volume: string;
  readonly endpoint: NodeEndpoint;
  /** Only a restart changes them: a change replaces this resource. */
  readonly boot: readonly Directive[];
  /** For the first file of a server only; a change of them touches nothing here. */
  readonly live: readonly Directive[];
  /** How many shards roll at the same time; for the preview's text. Default: 1. */
  readonly shardsAtOnce?: number;
  /** For the first start only, but for who looks after its health. Absent: the cluster is open. */
  readonly login?: NodeLogin;
  /** Absent: without TLS, which is decided when the cluster is made. A change of the files puts them in place, and no more. */
  readonly tls?: NodeTls;
  readonly dockerHost: string;
  /** This machine reaches it at its published port. Default: false, at its own address. */
  readonly reachesPublished?: boolean;
}

export interface NodeInputs extends NodeDeclaration {
  /** Identity of this server as it was started: another one for every replacement. */
  readonly instance: string;
}

export interface NodeOutputs extends NodeInputs {
  /** As refresh found it: `running`, `paused`, `stopped` or `gone`. */
  readonly state: string;
}

/** Where a node's data are, as its server sees it. */
export const DATA_FOLDER = "/data";
/** Who the server runs as: that of the official images. */
export const SERVER_USER = { uid: 999, gid: 999 } as const;
/** How long a server may take to save and end before it is killed, in seconds; it ends as soon as it can. */
export const STOP_GRACE_SECONDS = 300;

export const LABELS = {
  owner: "pulumi-redis-cluster.owner",
  cluster: "pulumi-redis-cluster.cluster",
  node: "pulumi-redis-cluster.node",
  zone: "pulumi-redis-cluster.zone",
} as const;
