import type * as pulumi from "@pulumi/pulumi";
import type { RedisClusterArgs } from "../../../components/spec/args";

/**
 * A cluster over hosts that somebody else provides. Roles, shards and slots are as they are found; of the other arguments
 * only those that are given are managed, and nothing that would take a restart can be.
 */
export interface ExistingRedisClusterArgs extends RedisClusterArgs {
  /** Every host of the cluster: an existing cluster's, or blank ones, in any order. One that is taken out of the list is drained and forgotten; its server goes on running. */
  nodes: ExistingNodeArgs[];
  /** Move slots until every shard has the same number, and masters out of zones that hold half of them. Default: false, slots stay as they are found. */
  rebalance?: boolean;
  /** User to log in as. Default: the server's default user. */
  username?: string;
  /** Password to log in with, better a secret. Default: none. */
  password?: pulumi.Input<string>;
}

export interface ExistingNodeArgs {
  /** IP address that the server announces to the others. */
  address: string;
  /** Client port. Default: the cluster's `port`, else 6379. */
  port?: number;
  /** Cluster bus port. Default: 10000 above the client port. */
  busPort?: number;
  /** Availability zone, or what stands for one; for all nodes or for none. Default: all in one zone. */
  zone?: string;
  /** Stable name, so that a host may come back under another address. Default: made of cluster, address and port. */
  name?: string;
}
