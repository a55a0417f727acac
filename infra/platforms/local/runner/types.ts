import type { NodeLogin, NodeTls } from "../../../../components/cluster/platform";
import type { Directive } from "../../../../components/config/types";
import type { Engine } from "../../../../components/spec/spec";

/** What the program declares for a node's data folder. */
export interface VolumeDeclaration {
  /** Folder of the node's files; relative to the project's folder, so that a moved checkout keeps its data. */
  readonly path: string;
  /** `<project>/<stack>/<cluster>/<node>`: written into the folder, so that two owners never share one. */
  readonly owner: string;
  /** `"delete"` is the consent to lose the data when the node goes; `"keep"` leaves the folder. */
  readonly dataOnDestroy: string;
}

export interface VolumeInputs extends VolumeDeclaration {
  /** Also written into the folder; nothing is removed from a folder that carries another one. */
  readonly token: string;
}

export interface VolumeOutputs extends VolumeInputs {
  /** False when the folder was found missing: the next `up` makes it again. */
  readonly present: boolean;
}

export interface VolumeReference {
  readonly path: string;
  readonly token: string;
}

/** What the program declares for a node's process. `check` turns the hints into an address and ports and drops them. */
export interface NodeDeclaration {
  readonly cluster: string;
  readonly name: string;
  readonly zone: string;
  readonly serverPath: string;
  readonly engine: Engine;
  /** Only a restart changes them: a change replaces the process. */
  readonly boot: readonly Directive[];
  /** For the first file of a process only; a change of them touches nothing here. */
  readonly live: readonly Directive[];
  readonly volume: VolumeReference;
  readonly hints: PlacementHints;
  /** How many shards roll at the same time; for the preview's text. Default: 1. */
  readonly shardsAtOnce?: number;
  /** For the first start only; a change of it touches nothing here. Absent: the cluster is open. */
  readonly login?: NodeLogin;
  /** Absent: without TLS, which is decided when the cluster is made. A change of the files puts them in place, and no more. */
  readonly tls?: NodeTls;
  /** For the first file of a process only, as `live` is. */
  readonly plainPort?: number;
  readonly hostname?: string;
}

/** Where a node would like to be. Hints of one cluster differ in `offset`, so that nodes asking at once never choose the same. */
export interface PlacementHints {
  /** Address of the zone, unless the zone already has another one. */
  readonly address: string;
  /** Further addresses may be counted up from here (Linux); false where all zones share one address (macOS). */
  readonly addressPerZone: boolean;
  readonly firstPort: number;
  /** The user asked for these ports: one that is taken is an error, not a reason to look further. */
  readonly fixedPorts: boolean;
  /** The node's number in its cluster, below `PORT_STRIDE`. */
  readonly offset: number;
}

export interface NodeInputs extends Omit<NodeDeclaration, "hints"> {
  readonly address: string;
  readonly port: number;
  readonly busPort: number;
  /** First port that the user asked for; 0 where ports were found. */
  readonly portBase: number;
  /** Identity of this process: another one for every replacement. */
  readonly instance: string;
}

export interface NodeOutputs extends NodeInputs {
  readonly running: boolean;
}

/** How far to go on where a port is taken: more than a cluster has nodes here, so that no two nodes ever try the same port. */
export const PORT_STRIDE = 1000;

/** From here up the bus port would lie in the range that the kernel hands out to outgoing connections. */
export const CLIENT_PORT_LIMIT = 22768;
