/**
 * For applications: from a stack's outputs to a client that a cluster which is scaled, rolled or repaired meanwhile costs
 * milliseconds and no error. Loads nothing but itself: no Pulumi, no client library.
 */
export { UnusableInput } from "./check";
export {
  CONNECTION_FACTS_VERSION,
  type ConnectionFacts,
  connectionFacts,
  type NodeFacts,
  type TlsFacts,
} from "./facts";
export { handleChanges, ioredisOptions, mayRepeat, transact } from "./ioredis";
export {
  type ClientSeed,
  type ClientTlsOptions,
  type ClusterClientOptions,
  type ClusterClientSetup,
  clusterOptions,
} from "./options";
export type { ReadBalancer } from "./reads";
export type { ClientNode, ClientSettings } from "./settings";
export { type ClusterListener, type WatchedClient, type WatchedNode, watchCluster } from "./watch";
