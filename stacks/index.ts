import * as pulumi from "@pulumi/pulumi";
import { DockerRedisCluster, type DockerRedisClusterArgs } from "pulumi-redis-cluster/docker";
import { LocalRedisCluster, type LocalRedisClusterArgs } from "pulumi-redis-cluster/local";

// One cluster a stack, on this machine. All of it can be set in stacks/Pulumi.<stack>.yaml; the examples beside it show how.
const config = new pulumi.Config();
const name = config.get("name") ?? "dev";
const cluster =
  config.get("platform") === "docker"
    ? new DockerRedisCluster(name, config.getObject<DockerRedisClusterArgs>("cluster") ?? {})
    : new LocalRedisCluster(name, config.getObject<LocalRedisClusterArgs>("cluster") ?? {});

export const inventory = cluster.inventory;
export const credentials = cluster.credentials;
export const seeds = cluster.seeds;
// What clients trust, where `tls` is declared.
export const caCertificatePem = cluster.caCertificatePem;
