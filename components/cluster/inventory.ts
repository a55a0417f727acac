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
  /** When full coverage was last proved by a change: ISO 8601, UTC. */
  verifiedAt: string;
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
  port: number;
  busPort: number;
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
}
