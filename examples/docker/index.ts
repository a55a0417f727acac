import { DockerRedisCluster } from "pulumi-redis-cluster/docker";

// Three masters and a replica of each, in containers of this machine; every node is reachable from the host too, at ports from 17000 on.
const dev = new DockerRedisCluster("dev", { publish: {} });

/** For applications and operators: shards, nodes, addresses, slots. Plain, without any secret. */
export const inventory = dev.inventory;
/** How to log in; shown with `pulumi stack output --show-secrets`. */
export const credentials = dev.credentials;
