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
  /** How nodes are restarted in place, for another version or a setting that takes a restart. One shard at a time unless told otherwise. */
  rolling?: RollingArgs;
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
  /** What becomes of a node's data when the node is destroyed: `"keep"` or `"delete"`. Default: `"delete"` on `local`, `"keep"` elsewhere. */
  dataOnDestroy?: string;
}

export interface EngineArgs {
  /** `"redis"` or `"valkey"`. Default: set by the platform. */
  name?: string;
  /** Version, at least two numbers: `"7.0"`, `"9.1"`, `"7.0.15"`. Default: set by the platform. */
  version?: string;
}

export interface PersistenceArgs {
  /** `"none"`, `"rdb"`, `"aof"` (append-only file without RDB preamble) or `"hybrid"` (append-only file with RDB preamble, and RDB snapshots). Default: `"hybrid"`. */
  mode?: string;
  /** When to write a snapshot, in `rdb` and `hybrid`. Default: after 3600 s and 1 change, 300 s and 100, 60 s and 10000. */
  savePoints?: SavePointArgs[];
  /** `appendfsync`: `"always"`, `"everysec"` or `"no"`, in `aof` and `hybrid`. Default: `"everysec"`. */
  appendfsync?: string;
}

export interface RollingArgs {
  /** How many shards roll at the same time, one node of each; fewer than half of the masters, so that a majority always runs. Meanwhile each of them has one copy fewer. Default: 1. */
  shardsAtOnce?: number;
}

export interface SavePointArgs {
  /** Seconds since the last snapshot. */
  seconds: number;
  /** Changes since the last snapshot. */
  changes: number;
}
