/**
 * The declaration after validation: every value present, in its own unit, nothing left to decide.
 * Plain data, JSON all the way down.
 */
export interface ClusterSpec {
  /** The component's name; prefix of every node's name. */
  readonly name: string;
  /** `local`, `docker`, `aws`, `kubernetes`, `existing`. */
  readonly platform: string;
  readonly engine: Engine;
  readonly masters: number;
  readonly replicasPerMaster: number;
  /** Distinct, sorted. */
  readonly zones: readonly string[];
  /** First (or only) client port of the nodes. */
  readonly port: number;
  /** Bytes; 0 is no limit. */
  readonly maxmemoryBytes: number;
  readonly maxmemoryPolicy: string;
  readonly persistence: Persistence;
  readonly minReplicasToWrite: number;
  readonly minReplicasMaxLagSeconds: number;
  readonly nodeTimeoutMilliseconds: number;
  readonly requireFullCoverage: boolean;
  readonly allowReadsWhenDown: boolean;
  readonly replicaValidityFactor: number;
  /** Directives beyond the ones above: validated, names in lower case, sorted by name. */
  readonly redisConfig: Readonly<Record<string, string>>;
  /** Absent: no users are declared, and the cluster is open. */
  readonly users?: UsersSpec;
  /** Absent: without TLS. */
  readonly tls?: TlsSpec;
  /** Nodes announce `<node>.<domain>`; absent: their addresses. */
  readonly domain?: string;
  /** Bounds for moves of slots; they concern a run, not the cluster. */
  readonly migration: MigrationLimits;
  /** How many shards roll at the same time. */
  readonly shardsAtOnce: number;
  readonly dataOnDestroy: "keep" | "delete";
}

/** Who may log in; without any password, which are not plain data. */
export interface UsersSpec {
  /** In the order of the declaration. */
  readonly declared: readonly UserSpec[];
  /** A change of it renews the passwords that are not given. */
  readonly rotation: string;
  /** How long a former password stays valid after the new one holds on every node. */
  readonly overlapSeconds: number;
  /** The server's own user stays open. */
  readonly openDefaultUser: boolean;
}

/** TLS for clients, replication and the bus; without any certificate or key, which are not plain data. */
export interface TlsSpec {
  readonly clientAuth: "yes" | "optional" | "no";
  /** First (or only) client port without TLS; absent: there is none. */
  readonly plainPort?: number;
  /** Who gets a client certificate of their own, sorted. */
  readonly clients: readonly string[];
  readonly rotation: string;
  readonly authorityRotation: string;
  readonly overlapSeconds: number;
  readonly certificateDays: number;
  readonly renewBeforeDays: number;
  readonly authorityDays: number;
}

export interface UserSpec {
  readonly name: string;
  readonly keys: readonly string[];
  readonly channels: readonly string[];
  readonly commands: readonly string[];
}

/** How moves of slots are bounded, as declared; empty where nothing is. */
export interface MigrationLimits {
  /** Keys a second, on average, over all moves together. */
  readonly maxKeysPerSecond?: number;
  /** A time of day with its zone, or an instant: see `parseUntil`. */
  readonly until?: string;
}

export interface Engine {
  readonly name: EngineName;
  /** As given or as the server reports it: `"7.0.15"`, `"9.1"`. */
  readonly version: string;
}

export type EngineName = "redis" | "valkey";

export interface Persistence {
  readonly mode: "none" | "rdb" | "aof" | "hybrid";
  readonly savePoints: readonly { readonly seconds: number; readonly changes: number }[];
  readonly appendfsync: "always" | "everysec" | "no";
}

/** What validation found. An error stops before anything happens; a warning is shown. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** Path of the argument: `masters`, `redisConfig.maxmemory`. */
  readonly property: string;
  /** One sentence: what it got, what is allowed, what to do. */
  readonly message: string;
}
