import type * as pulumi from "@pulumi/pulumi";
import { RedisCluster } from "../../../components/cluster/cluster";
import type { LocalRedisClusterArgs } from "./args";
import { declareLocal } from "./declare";

/**
 * A Redis or Valkey cluster of server processes on this machine, bound to loopback, without TLS, and without passwords unless `users` are declared: for
 * development, tests and learning. `new LocalRedisCluster("dev")` is a whole cluster: 3 masters and 3 replicas in 3 zones.
 */
export class LocalRedisCluster extends RedisCluster {
  /**
   * @param name prefix of every node's name: letters, digits and hyphens
   * @throws RunError at preview, with all problems of the arguments at once
   */
  constructor(name: string, args: LocalRedisClusterArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("redis-cluster:index:LocalRedisCluster", name, declareLocal(name, args), opts);
  }
}
