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
  /** How many shards roll at the same time. */
  readonly shardsAtOnce: number;
  readonly minReplicasToWrite: number;
  readonly minReplicasMaxLagSeconds: number;
  readonly nodeTimeoutMilliseconds: number;
  readonly requireFullCoverage: boolean;
  readonly allowReadsWhenDown: boolean;
  readonly replicaValidityFactor: number;
  /** Directives beyond the ones above: validated, names in lower case, sorted by name. */
  readonly redisConfig: Readonly<Record<string, string>>;
  readonly dataOnDestroy: "keep" | "delete";
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
