/** Where everything goes: which shards there are, which nodes form them, in which zones. Pure data; the answer of placement. */
export interface TopologyPlan {
  readonly zones: readonly string[];
  readonly shards: readonly PlannedShard[];
  /** Which zone rules this shape can hold; verification demands exactly these. */
  readonly promises: TopologyPromises;
  readonly survives: Survival;
}

export interface PlannedShard {
  /** `shard-0`, `shard-1`, … */
  readonly name: string;
  /** The slots this shard owns when the cluster is formed; later owners are observed, not planned. */
  readonly slots: readonly SlotRange[];
  /** The first leads when the cluster is formed. */
  readonly nodes: readonly PlannedNode[];
}

export interface PlannedNode {
  /** Stable identity, made of cluster, shard and zone, without a role: `sessions-0-eu-west-1a`, a second one in the same zone `…-2`. */
  readonly name: string;
  readonly shard: string;
  readonly zone: string;
}

/** Hash slots, both ends included, 0 to 16383. */
export interface SlotRange {
  readonly start: number;
  readonly end: number;
}

export interface TopologyPromises {
  /** Every shard with a replica has nodes in two zones or more. */
  readonly shardsSpanZones: boolean;
  /** No zone holds half of the masters or more, so that the loss of one leaves a majority. */
  readonly mastersKeepMajority: boolean;
}

export interface Survival {
  /** The loss of any one node. */
  readonly oneNode: Verdict;
  /** The loss of any one zone. */
  readonly oneZone: Verdict;
}

export interface Verdict {
  /** Every key can still be read (from a replica, at worst) after failover. */
  readonly reads: boolean;
  /** Every key can still be written after failover, `minReplicasToWrite` considered. */
  readonly writes: boolean;
  /** One sentence for a reader: why, or why not. */
  readonly reason: string;
}
