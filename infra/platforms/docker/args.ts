import type { ClusterArgs } from "../../../components/cluster/args";

/** A cluster of containers under one Docker daemon. Everything has a default: `new DockerRedisCluster("dev")` works. */
export interface DockerRedisClusterArgs extends ClusterArgs {
  /** Names of the simulated zones: labels, since all containers are on one host. Default: `["zone-a", "zone-b", "zone-c"]`. */
  zones?: string[];
  /** The image, by tag (`"redis:8.0"`, `"valkey/valkey:9.1"`) or digest (`"redis@sha256:…"`), of a registry or of this daemon alone. Where its name tells no version, `engine` has to. Default: the official one of `engine`, else `"redis:8.0"`. */
  image?: string;
  /** The cluster's own network, as IPv4 addresses (`"10.90.0.0/21"`): the lower half for nodes, the upper one for containers that join it. Default: one that overlaps no other of the daemon, and stays. */
  subnet?: string;
  /** Makes every node reachable through a port of the daemon's host too, for applications that are in no network of Docker; the inventory names them. Default: none on Linux, `{}` elsewhere. */
  publish?: PublishArgs;
  /** How this machine, where Pulumi runs, reaches the nodes: `"network"` is at their own addresses, as on Linux; `"published"` is through their published ports, as where Docker runs in a machine of its own (macOS, Windows). Default: `"network"` on Linux, `"published"` elsewhere. */
  reachThrough?: string;
  /** How many files and connections a node may have open, `nofile`. Default: 20000. */
  openFiles?: number;
  /** The Docker daemon: `"unix:///var/run/docker.sock"`, `"tcp://10.0.0.5:2375"`. Default: DOCKER_HOST, else this machine's own. */
  dockerHost?: string;
}

export interface PublishArgs {
  /** Address of the host to listen on. Default: `"127.0.0.1"`, and so for nobody but the host itself. */
  address?: string;
  /** Host port of the first node; each node has the one of its number above it. Default: 17000. */
  firstPort?: number;
}

export const DOCKER_DEFAULTS = {
  zones: ["zone-a", "zone-b", "zone-c"],
  engine: { name: "redis", version: "8.0" },
  openFiles: 20_000,
  publish: { address: "127.0.0.1", firstPort: 17_000 },
} as const;
