/**
 * What a user declares: the arguments that every platform's cluster takes.
 *
 * Everything can be set, nothing must be. All values are plain (no `Input`), because they decide which resources exist
 * and are checked, all at once, before anything happens. There are no union types, so that the interface can become a
 * Pulumi package's schema as it is; where only some words are allowed, the doc comment lists them and validation says so.
 * Defaults live in `defaults.ts`; a test compares them with the comments here.
 */
export interface RedisClusterArgs {
  /** How many masters, thus shards. At least 3; odd numbers keep a majority clear. Default: 3. */
  masters?: number;
  /** How many replicas each master has. 0 means that the loss of one node loses its slots. Default: 1. */
  replicasPerMaster?: number;
  /** The server to run. Default: set by the platform. */
  engine?: EngineArgs;
  /** Client port of every node. Default: set by the platform. */
  port?: number;
  /** Memory for data in each node, as Redis writes sizes (`"512mb"`, `"10gb"`; `"0"` is no limit). Default: computed from `nodeMemory`, else no limit. */
  maxmemory?: string;
  /** Memory of the machine that one node may use (`"16gb"`); `maxmemory` is computed from it where that is not given. Default: set by the platform where it knows. */
  nodeMemory?: string;
  /** What to do when `maxmemory` is reached, a `maxmemory-policy` of Redis. Default: `"noeviction"`. */
  maxmemoryPolicy?: string;
  /** How data are kept on disk. Default: `{ mode: "hybrid" }`. */
  persistence?: PersistenceArgs;
  /** `min-replicas-to-write`: a master with fewer replicas in time refuses writes. 0 is off. Default: 0. */
  minReplicasToWrite?: number;
  /** `min-replicas-max-lag`, in seconds: how late a replica may be and still count. Default: 10. */
  minReplicasMaxLagSeconds?: number;
  /** `cluster-node-timeout`, in milliseconds: how long a node may be silent before it counts as failing. Default: 5000. */
  nodeTimeoutMilliseconds?: number;
  /** `cluster-require-full-coverage`: refuse all commands while any slot is uncovered. Default: false. */
  requireFullCoverage?: boolean;
  /** `cluster-allow-reads-when-down`: answer reads while the cluster is down. Default: false. */
  allowReadsWhenDown?: boolean;
  /** `cluster-replica-validity-factor`: how stale a replica may be and still take over; 0 is always. Default: 10. */
  replicaValidityFactor?: number;
  /** Any other directive of redis.conf, by name. Directives that the component manages, or that this engine and version do not know, are errors. Default: none. */
  redisConfig?: { [directive: string]: string };
  /** Bounds for moves of slots on the running cluster. They concern the next move only: a change of them alone changes nothing. Default: none. */
  migration?: MigrationArgs;
  /** Users of the cluster by name; `{}` is none of your own. Declared, nobody may log in without a password any more. Default: none, and the cluster is open. */
  users?: { [name: string]: UserArgs };
  /** Any text; a change of it gives every user whose password is not given a new one. The former ones stay valid for a time: see `passwordOverlapSeconds`. Default: `""`. */
  passwordRotation?: string;
  /** How long a former password stays valid, in seconds, after the new one holds on every node; the first `up` after that ends it. Default: 3600. */
  passwordOverlapSeconds?: number;
  /** Leaves the server's own user without a password as it is beside `users`, while clients of a running cluster move to users of their own. Default: false. */
  openDefaultUser?: boolean;
  /** TLS. Plain or TLS on the cluster bus is decided when a cluster is made. Default: set by the platform; none on `local`. */
  tls?: TlsArgs;
  /** Every node announces the host name `<node>.<domain>` instead of its address (`cluster-announce-hostname`), and its certificate carries it. The names are somebody else's to resolve. Default: none, nodes announce addresses. */
  domain?: string;
  /** How nodes are restarted in place, for another version or a setting that takes a restart. One shard at a time unless told otherwise. */
  rolling?: RollingArgs;
  /** What becomes of a node's data when the node is destroyed: `"keep"` or `"delete"`. Default: `"delete"` on `local`, `"keep"` elsewhere. */
  dataOnDestroy?: string;
}

export interface MigrationArgs {
  /** Keys that all moves of slots together carry in a second, on average; slots then move one key batch at a time instead of by the server itself (Valkey 9). Default: none, only what clients of the nodes hardly notice. */
  maxKeysPerSecond?: number;
  /** When moves stop, each slot that is open being carried to its end first; `up` then ends with what is left, and the next one goes on. A time of day with its time zone, the first after `up` was started (`"05:30 Europe/Berlin"`, `"05:30 UTC"`, `"05:30+02:00"`), or an instant (`"2027-01-31T05:30:00Z"`). Default: none. */
  until?: string;
}

export interface UserArgs {
  /** Patterns of the keys that the user may use: `"session:*"`; with `%R~` before it for reading only, with `%W~` for writing only. Default: none. */
  keys?: string[];
  /** Patterns of pub/sub channels. Default: none. */
  channels?: string[];
  /** Command rules in their order, as in Redis: `"+@read"`, `"+@write"`, `"-keys"`, `"+config|get"`. Dangerous commands are left out unless a rule says `@dangerous`, or names them; what every cluster client sends (PING, CLUSTER SLOTS, …) is allowed. */
  commands?: string[];
}

export interface TlsArgs {
  /** TLS for clients, replication and the cluster bus. Default: true, where `tls` is given. */
  enabled?: boolean;
  /** Whether clients show a certificate too, `tls-auth-clients`: `"yes"`, `"optional"` or `"no"`. Nodes always do to each other. Default: `"yes"`. */
  clientAuth?: string;
  /** A client port without TLS beside the one with it, numbered as `port` is: for a time, while clients move. Default: none. */
  plainPort?: number;
  /** Who gets a client certificate of their own, by name, in `credentials.tls.clients`; applications that are not named share one. Default: none. */
  clients?: string[];
  /** Any text; a change of it renews the certificates of all nodes and clients, live. Default: `""`. */
  rotation?: string;
  /** Any text; a change of it makes another authority, in three runs that are `overlapSeconds` apart: everybody trusts both, then nodes show certificates of the new one, then the former is trusted no more. Default: `""`. */
  authorityRotation?: string;
  /** How long clients have to take what is new before the former ends, in seconds, when the authority changes. Default: 3600. */
  overlapSeconds?: number;
  /** How long a certificate is valid, in days; fractions are taken. Default: 365. */
  certificateDays?: number;
  /** How long before its end `up` renews a certificate, in days. Default: 60. */
  renewBeforeDays?: number;
  /** How long an authority that the component makes is valid, in days; `up` makes another before certificates would outlive it. Default: 3650. */
  authorityDays?: number;
}

export interface EngineArgs {
  /** `"redis"` or `"valkey"`. Default: set by the platform. */
  name?: string;
  /** Version, at least two numbers: `"7.0"`, `"9.1"`, `"7.0.15"`. Default: set by the platform. */
  version?: string;
}

export interface RollingArgs {
  /** How many shards roll at the same time, one node of each; fewer than half of the masters, so that a majority always runs. Meanwhile each of them has one copy fewer. Default: 1. */
  shardsAtOnce?: number;
}

export interface PersistenceArgs {
  /** `"none"`, `"rdb"`, `"aof"` (append-only file without RDB preamble) or `"hybrid"` (append-only file with RDB preamble, and RDB snapshots). Default: `"hybrid"`. */
  mode?: string;
  /** When to write a snapshot, in `rdb` and `hybrid`. Default: after 3600 s and 1 change, 300 s and 100, 60 s and 10000. */
  savePoints?: SavePointArgs[];
  /** `appendfsync`: `"always"`, `"everysec"` or `"no"`, in `aof` and `hybrid`. Default: `"everysec"`. */
  appendfsync?: string;
}

export interface SavePointArgs {
  /** Seconds since the last snapshot. */
  seconds: number;
  /** Changes since the last snapshot. */
  changes: number;
}
