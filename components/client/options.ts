import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { ClusterCredentials, ClusterInventory } from "../cluster/inventory";
import { connectionOf } from "./connection";
import { ioredisOptions } from "./ioredis";
import { type ReadBalancer, readBalancer } from "./reads";
import { type ClientNode, type ClientSettings, type ClientTls, parseEndpoint } from "./settings";

/** What is handed to Node's `tls.connect`. */
export interface ClientTlsOptions {
  ca: string;
  cert?: string;
  key?: string;
  /** The name that the certificate has to carry, where it is not the one that is connected to. */
  servername?: string;
  checkServerIdentity?: (host: string, certificate: PeerCertificate) => Error | undefined;
}

/** A node where the client connects to it; through a tunnel with the name that its certificate has to carry. */
export interface ClientSeed {
  host: string;
  port: number;
  tls?: ClientTlsOptions;
}

type LookupCallback = (error: NodeJS.ErrnoException | null | undefined, address: string, family?: number) => void;

/** Options of ioredis's Cluster, as `clusterOptions` makes them; what is not here is ioredis's own default. */
export interface ClusterClientOptions {
  maxRedirections: number;
  retryDelayOnTryAgain: number;
  retryDelayOnFailover: number;
  retryDelayOnClusterDown: number;
  /** Only through tunnels. */
  retryDelayOnMoved?: number;
  slotsRefreshInterval: number;
  slotsRefreshTimeout: number;
  /** A way to choose among a shard's nodes where replicas answer reads. */
  scaleReads: "master" | ReadBalancer;
  dnsLookup: (hostname: string, callback: LookupCallback) => void;
  natMap?: { [node: string]: ClientSeed };
  redisOptions: {
    username?: string;
    password?: string;
    connectTimeout: number;
    tls?: ClientTlsOptions;
  };
}

/** What `clusterOptions` gives: `new Cluster(seeds, options)`, and the nodes for `watchCluster`. */
export interface ClusterClientSetup {
  seeds: ClientSeed[];
  options: ClusterClientOptions;
  nodes: ClientNode[];
}

/**
 * ioredis goes on with a node's own name for a slot that has moved until it has looked at all slots again, and asks any other node
 * meanwhile, which sends it on again at once. Milliseconds between two such steps, so that they do not use up `maxRedirections`.
 */
const MOVED_DELAY_MILLISECONDS = 25;

/**
 * Everything that ioredis needs for a cluster of this library: `const { seeds, options } = clusterOptions(inventory, credentials)`,
 * then `handleChanges(new Cluster(seeds, options))`. TLS with names checked, also through tunnels, in pub/sub connections too; the
 * login; retries that outlive a failover, by the cluster's node timeout; reads from replicas where wanted.
 *
 * @param inventory the stack's output `inventory`
 * @param credentials its output `credentials`, secrets shown
 * @param settings Default: the first user, reads from masters, nodes reached directly
 * @throws UnusableInput with every problem of what was given: what was got, what is wanted
 */
export function clusterOptions(
  inventory: ClusterInventory,
  credentials: ClusterCredentials,
  settings: ClientSettings = {},
): ClusterClientSetup {
  const connection = connectionOf(inventory, credentials, settings);
  const { nodes, tunnels, username, password, readFrom, failoverMilliseconds } = connection;
  const tls = connection.tls && tlsOptions(connection.tls);
  const seedOf = ({ host, connectHost, connectPort }: ClientNode): ClientSeed => ({
    host: connectHost,
    port: connectPort,
    ...(tls && tunnels.size > 0 ? { tls: named(tls, host) } : {}),
  });
  const natMap: { [node: string]: ClientSeed } = {};
  for (const [key, { host, port }] of tunnels) {
    const node = nodes.find(({ aliases }) => aliases.includes(key));
    const name = node?.host ?? parseEndpoint(key)?.host ?? "";
    natMap[key] = { host, port, ...(tls ? { tls: named(tls, name) } : {}) };
  }
  // The cluster may call a node by its address or by its host name.
  if (tunnels.size > 0) for (const node of nodes) for (const alias of node.aliases) natMap[alias] = seedOf(node);
  return {
    seeds: nodes.map(seedOf),
    options: {
      ...ioredisOptions,
      maxRedirections: redirectionsFor(failoverMilliseconds),
      ...(tunnels.size > 0 ? { natMap, retryDelayOnMoved: MOVED_DELAY_MILLISECONDS } : {}),
      scaleReads: readFrom === "masters" ? "master" : readBalancer(readFrom === "all"),
      // ioredis would resolve host names of seeds first, know these nodes by other names than the cluster does, and check
      // certificates against addresses. Connecting resolves them.
      dnsLookup: (hostname, callback) => callback(null, hostname),
      redisOptions: {
        // A name without a password is that of an open cluster, where nobody logs in.
        ...(password === undefined ? {} : { username, password }),
        connectTimeout: connection.connectTimeoutMilliseconds,
        ...(tls ? { tls } : {}),
      },
    },
    nodes: [...nodes],
  };
}

function tlsOptions({ caCertificatePem, certificatePem, keyPem }: ClientTls): ClientTlsOptions {
  return {
    ca: caCertificatePem,
    ...(certificatePem === undefined || keyPem === undefined ? {} : { cert: certificatePem, key: keyPem }),
  };
}

/** For a connection to somewhere else than the name in the certificate. */
function named(tls: ClientTlsOptions, name: string): ClientTlsOptions {
  // An address may not be sent as a server's name, so it is only compared.
  if (isIP(name))
    return { ...tls, checkServerIdentity: (_tunnel, certificate) => checkServerIdentity(name, certificate) };
  return { ...tls, servername: name };
}

/** Enough for the worst case, TRYAGAIN all the time: ioredis counts each of those as three. */
function redirectionsFor(milliseconds: number): number {
  const tries = Math.ceil(milliseconds / ioredisOptions.retryDelayOnTryAgain);
  return Math.max(ioredisOptions.maxRedirections, 3 * tries);
}
