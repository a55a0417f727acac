import type { ClusterCredentials, ClusterInventory } from "../cluster/inventory";

/** How an application wants to use its cluster. Everything has a default. */
export interface ClientSettings {
  /** Whom to log in as: a name in `credentials.users`. Default: `credentials.username`, the first user that was declared. */
  user?: string;
  /** Whose certificate to show: a name in `credentials.tls.clients`. Default: the one for applications, where there is one. */
  client?: string;
  /**
   * Which nodes of a shard answer reads; writes go to masters always. `"replicas"`: its replicas, and its master only while no
   * replica can be reached; `"all"`: any of them. Replicas answer with what they have, which may be older, and
   * may lack keys that have moved to another shard while slots move key by key. Default: `"masters"`.
   */
  readFrom?: "masters" | "replicas" | "all";
  /**
   * Where each node is reached when it is not reached at its own address: `{ "10.0.1.5:6379": "127.0.0.1:16379" }`. Keys are what
   * the inventory has (`address:port` or `hostname:port`), every node needs one, as each may come to lead; further ones are for nodes that
   * join later. Names in certificates are checked all the same. Default: every node is reached directly.
   */
  tunnels?: Readonly<Record<string, string>>;
  /**
   * Reaches every node through the port that its machine publishes (`published` in the inventory): for an application on that
   * machine itself, outside the nodes' own network. From elsewhere, `tunnels` names the machine. Default: false.
   */
  published?: boolean;
  /** Uses the ports without TLS, `plainPort`, of a cluster that has both. Default: false. */
  plain?: boolean;
}

/** A node, by its names and by the ways to it. */
export interface ClientNode {
  /** As the stack calls it. */
  readonly name: string;
  readonly zone: string;
  /** Its shard's name. */
  readonly shard: string;
  /** As it was when the inventory was made; failovers move it. */
  readonly role: string;
  readonly address: string;
  /** What the node announces: its host name where it has one, else its address. */
  readonly host: string;
  readonly port: number;
  /** Where it is reached: the same, or its tunnel. */
  readonly connectHost: string;
  readonly connectPort: number;
  /** Every `host:port` that the cluster may call it: by its host name and by its address. */
  readonly aliases: readonly string[];
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** PEM. */
export interface ClientTls {
  readonly caCertificatePem: string;
  readonly certificatePem?: string;
  readonly keyPem?: string;
}

/** What was given, checked and put together. */
export interface Connection {
  readonly cluster: string;
  readonly nodes: readonly ClientNode[];
  /** By `host:port` as the cluster announces it; empty where nodes are reached directly. */
  readonly tunnels: ReadonlyMap<string, Endpoint>;
  readonly username: string;
  readonly password?: string;
  readonly tls?: ClientTls;
  readonly readFrom: "masters" | "replicas" | "all";
  readonly connectTimeoutMilliseconds: number;
  readonly failoverMilliseconds: number;
}

/** What `pulumi stack output --json --show-secrets` prints under the names of a cluster's outputs. */
export interface ClientInput {
  readonly inventory: ClusterInventory;
  readonly credentials: ClusterCredentials;
}

/** `10.0.1.5:6379`, `[::1]:6379` or `name:6379`; undefined where it is none of them. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, "$1");
  const port = Number(text.slice(colon + 1));
  return host === "" || !/^\d+$/.test(text.slice(colon + 1)) || !isPort(port) ? undefined : { host, port };
}

export function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}

/** As ioredis calls nodes, and as the keys of `natMap` are: without brackets. */
export function keyOf({ host, port }: Endpoint): string {
  return `${host}:${port}`;
}
