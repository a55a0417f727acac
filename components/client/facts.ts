import type { ClusterCredentials, ClusterInventory } from "../cluster/inventory";
import { connectionOf } from "./connection";
import { ioredisOptions } from "./ioredis";
import type { ClientSettings } from "./settings";

/** What a client in any language needs, as plain data. Holds secrets. `version` counts changes of this shape. */
export interface ConnectionFacts {
  version: number;
  /** The cluster's name. */
  cluster: string;
  /** Every node, in the inventory's order; any of them is a good place to begin. */
  nodes: NodeFacts[];
  username: string;
  /** Absent: nobody logs in. */
  password?: string;
  /** Absent: without TLS. */
  tls?: TlsFacts;
  /** `masters`, `replicas` or `all`. */
  readFrom: string;
  /** How long one attempt to connect may take. */
  connectTimeoutMilliseconds: number;
  /** How long commands should be tried again before they fail: a failover, and the time until a client knows of it. */
  failoverMilliseconds: number;
  /** The pause between two tries. */
  retryMilliseconds: number;
}

export interface NodeFacts {
  name: string;
  zone: string;
  shard: string;
  /** `master` or `replica`, when the inventory was made. */
  role: string;
  /** Its IP address. */
  address: string;
  /** As the cluster announces it: its host name where it has one, else its address. */
  host: string;
  port: number;
  /** Where to connect to: the same, or the node's tunnel. */
  connectHost: string;
  connectPort: number;
  /** The name that its certificate has to carry, a host name or an address. Absent: without TLS. */
  tlsName?: string;
}

/** All PEM. */
export interface TlsFacts {
  caCertificatePem: string;
  /** Absent: no certificate is shown. */
  certificatePem?: string;
  keyPem?: string;
}

/** Counts changes of the shape of `ConnectionFacts`. */
export const CONNECTION_FACTS_VERSION = 1;

/**
 * The same as `clusterOptions`, for clients in other languages: `JSON.stringify(connectionFacts(inventory, credentials))`.
 * @throws UnusableInput with every problem of what was given: what was got, what is wanted
 */
export function connectionFacts(
  inventory: ClusterInventory,
  credentials: ClusterCredentials,
  settings: ClientSettings = {},
): ConnectionFacts {
  const connection = connectionOf(inventory, credentials, settings);
  const { cluster, username, password, tls, readFrom, connectTimeoutMilliseconds, failoverMilliseconds } = connection;
  return {
    version: CONNECTION_FACTS_VERSION,
    cluster,
    nodes: connection.nodes.map(({ aliases: _aliases, ...node }) => ({
      ...node,
      ...(tls ? { tlsName: node.host } : {}),
    })),
    username,
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: { ...tls } } : {}),
    readFrom,
    connectTimeoutMilliseconds,
    failoverMilliseconds,
    retryMilliseconds: ioredisOptions.retryDelayOnFailover,
  };
}
