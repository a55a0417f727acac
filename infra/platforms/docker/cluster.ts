import type * as pulumi from "@pulumi/pulumi";
import { RedisCluster } from "../../../components/cluster/cluster";
import type { DockerRedisClusterArgs } from "./args";
import { declareDocker } from "./declare";

/**
 * A Redis or Valkey cluster of containers under one Docker daemon, in a network of its own: for development, tests, CI and a single
 * host. Without TLS, and without passwords unless `users` are declared. `new DockerRedisCluster("dev")` is a whole cluster: 3 masters and 3 replicas.
 */
export class DockerRedisCluster extends RedisCluster {
  /**
   * @param name prefix of every node's name: letters, digits and hyphens
   * @throws RunError at preview, with all problems of the arguments at once
   */
  constructor(name: string, args: DockerRedisClusterArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("redis-cluster:index:DockerRedisCluster", name, declareDocker(name, args), opts);
  }
}
