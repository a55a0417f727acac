import type { Engine } from "../spec/spec";
import type { Survival } from "../topology/plan";

/** What the cluster is, for applications, operators and other stacks. Plain, without any secret; `version` counts changes of this shape. */
export interface ClusterInventory {
  version: number;
  name: string;
  platform: string;
  engine: Engine;
  zones: string[];
  shards: InventoryShard[];
  /** `cluster-node-timeout` in milliseconds: how long clients should be ready to wait for a failover, twice over. */
  nodeTimeoutMilliseconds: number;
  survives: Survival;
  /** Absent: without TLS. */
  tls?: InventoryTls;
  /** When full coverage was last proved by a change: ISO 8601, UTC. */
  verifiedAt: string;
}

export interface InventoryTls {
  /** Whether clients show a certificate too, `tls-auth-clients`: `yes`, `optional` or `no`. */
  clientAuth: string;
  /** When the first of the nodes' certificates ends: ISO 8601, UTC. Empty before it is known. */
  certificatesExpire: string;
  /** When the authority's own certificate ends: ISO 8601, UTC. Empty before it is known. */
  authorityExpires: string;
  /** Absent where no change of authority is under way: how many of its three stages are done, and from when on the next `up` takes the next one (ISO 8601, UTC). */
  authorityChange?: { stage: number; nextFrom: string };
}

export interface InventoryShard {
  name: string;
  /** As in CLUSTER NODES: `"0-5460"`, or `"7"` for a single slot. Ascending. */
  slots: string[];
  nodes: InventoryNode[];
}

export interface InventoryNode {
  name: string;
  zone: string;
  address: string;
  /** Client port; with TLS it takes TLS connections. */
  port: number;
  /** Client port without TLS beside it; absent where there is none. */
  plainPort?: number;
  busPort: number;
  /** Host name that the node announces, and that its certificate carries; absent where it announces its address. */
  hostname?: string;
  /** Where the machine that carries the node lets its client port be reached too, for applications outside the nodes' network; absent: nowhere. */
  published?: { address: string; port: number };
  /** The ID that the server made, 40 hex digits. */
  id: string;
  /** As it was when `verifiedAt` was taken; failovers move it. */
  role: string;
}

/** Counts changes of the shape of `ClusterInventory`. */
export const INVENTORY_VERSION = 1;

/** How to log in; always a secret output. */
export interface ClusterCredentials {
  /** For applications: the first user that is declared; `admin` where users are and none is; `default` in an open cluster. */
  username: string;
  /** Absent where the server asks for none, as in an open cluster. */
  password?: string;
  /** For operators, who may do everything. Absent in an open cluster, and on given hosts. */
  admin?: { username: string; password: string };
  /** Every user that somebody may log in as, by name: those declared, `admin`, and `monitor`, which reads figures and no keys. */
  users?: { [name: string]: { password: string } };
  /** Absent: without TLS. */
  tls?: ClusterTlsCredentials;
}

/** All PEM. */
export interface ClusterTlsCredentials {
  /** Every authority that certificates of nodes may come from: what a client trusts, and nothing else. */
  caCertificatePem: string;
  /** What applications show where nodes ask for a certificate. Absent where none was made. */
  certificatePem?: string;
  keyPem?: string;
  /** Certificates of their own for whoever was named in `tls.clients`. */
  clients?: { [name: string]: { certificatePem: string; keyPem: string } };
  /** For operators: what the component itself shows. */
  admin?: { certificatePem: string; keyPem: string };
}
