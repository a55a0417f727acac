import type * as pulumi from "@pulumi/pulumi";
import type { RedisClusterArgs, UserArgs } from "../spec/args";

/** Arguments of every platform that makes its nodes, with what cannot be plain: passwords. */
export interface ClusterArgs extends RedisClusterArgs {
  /** Users of the cluster by name; `{}` is none of your own. Declared, nobody may log in without a password any more. Default: none, and the cluster is open. */
  users?: { [name: string]: ClusterUserArgs };
}

export interface ClusterUserArgs extends UserArgs {
  /** The user's password, better a secret; another value rotates it. Default: generated. */
  password?: pulumi.Input<string>;
}
