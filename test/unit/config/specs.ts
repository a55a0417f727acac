import type { ClusterSpec, Engine, Persistence } from "../../../components/spec/spec";

/** A valid declaration with nothing special in it, for tests that change one thing. */
export function aSpec(changes: Partial<ClusterSpec> = {}): ClusterSpec {
  return {
    name: "sessions",
    platform: "local",
    engine: { name: "redis", version: "7.0" },
    masters: 3,
    replicasPerMaster: 1,
    zones: ["a", "b", "c"],
    port: 7000,
    maxmemoryBytes: 0,
    maxmemoryPolicy: "noeviction",
    persistence: aPersistence("hybrid"),
    shardsAtOnce: 1,
    minReplicasToWrite: 0,
    minReplicasMaxLagSeconds: 10,
    nodeTimeoutMilliseconds: 5000,
    requireFullCoverage: false,
    allowReadsWhenDown: false,
    replicaValidityFactor: 10,
    redisConfig: {},
    dataOnDestroy: "delete",
    ...changes,
  };
}

export function aPersistence(mode: Persistence["mode"]): Persistence {
  return {
    mode,
    savePoints: [
      { seconds: 3600, changes: 1 },
      { seconds: 300, changes: 100 },
      { seconds: 60, changes: 10000 },
    ],
    appendfsync: "everysec",
  };
}

export const MODES: readonly Persistence["mode"][] = ["none", "rdb", "aof", "hybrid"];

/** The engine of a test server's name: `valkey-9.1`. */
export function engineOf(server: string): Engine {
  const [name, version = ""] = server.split("-");
  if (name !== "redis" && name !== "valkey") throw new Error(`${server} names no engine`);
  return { name, version };
}
