import type { ClusterSpec } from "../../../components/spec/spec";

/** A validated declaration of this shape, zones named `zone-a`, `zone-b`, … in sorted order. */
export function specOf(
  masters: number,
  replicasPerMaster: number,
  zones: number,
  more: Partial<ClusterSpec> = {},
): ClusterSpec {
  return {
    name: "sessions",
    platform: "local",
    engine: { name: "valkey", version: "9.1" },
    masters,
    replicasPerMaster,
    zones: Array.from({ length: zones }, (_, index) => `zone-${String.fromCharCode(97 + index)}`),
    port: 7000,
    maxmemoryBytes: 0,
    maxmemoryPolicy: "noeviction",
    persistence: { mode: "hybrid", savePoints: [], appendfsync: "everysec" },
    shardsAtOnce: 1,
    minReplicasToWrite: 0,
    minReplicasMaxLagSeconds: 10,
    nodeTimeoutMilliseconds: 5000,
    requireFullCoverage: false,
    allowReadsWhenDown: false,
    replicaValidityFactor: 10,
    redisConfig: {},
    dataOnDestroy: "delete",
    ...more,
  };
}
