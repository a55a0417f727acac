import * as pulumi from "@pulumi/pulumi";
import { LocalRedisCluster, type LocalRedisClusterArgs } from "pulumi-redis-cluster/local";

// One cluster a stack, on this machine. All of it can be set in stacks/Pulumi.<stack>.yaml; stacks/example.yaml shows how.
const config = new pulumi.Config();
const cluster = new LocalRedisCluster(
  config.get("name") ?? "dev",
  config.getObject<LocalRedisClusterArgs>("cluster") ?? {},
);

export const inventory = cluster.inventory;
export const credentials = cluster.credentials;
export const seeds = cluster.seeds;
// What clients trust, where `tls` is declared.
export const caCertificatePem = cluster.caCertificatePem;
