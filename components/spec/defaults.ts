/**
 * What holds where nothing is declared. The doc comments of args.ts say the same to users, and a test compares the two.
 * A default that changes would change clusters that exist; so the values that applied are recorded in the stack's state.
 */
export const DEFAULTS = {
  masters: 3,
  replicasPerMaster: 1,
  maxmemoryPolicy: "noeviction",
  persistence: {
    mode: "hybrid",
    savePoints: [
      { seconds: 3600, changes: 1 },
      { seconds: 300, changes: 100 },
      { seconds: 60, changes: 10000 },
    ],
    appendfsync: "everysec",
  },
  minReplicasToWrite: 0,
  minReplicasMaxLagSeconds: 10,
  nodeTimeoutMilliseconds: 5000,
  requireFullCoverage: false,
  allowReadsWhenDown: false,
  replicaValidityFactor: 10,
  shardsAtOnce: 1,
  passwordOverlapSeconds: 3600,
  openDefaultUser: false,
  tls: {
    enabled: true,
    clientAuth: "yes",
    rotation: "",
    authorityRotation: "",
    overlapSeconds: 3600,
    certificateDays: 365,
    renewBeforeDays: 60,
    authorityDays: 3650,
  },
} as const;

export interface PlatformDefaults {
  /** Client port of the nodes; the bus port is 10000 above. */
  readonly port: number;
  /** What becomes of a node's data when the node is destroyed. */
  readonly dataOnDestroy: "keep" | "delete";
}

/** Which default holds where. `local` is for trying things out; everywhere else losing data has to be asked for. */
export const PLATFORM_DEFAULTS: Readonly<Record<string, PlatformDefaults>> = {
  // 7000, as in Redis's own cluster tutorial: 6379 is often taken on a developer's machine.
  local: { port: 7000, dataOnDestroy: "delete" },
  docker: { port: 6379, dataOnDestroy: "keep" },
  aws: { port: 6379, dataOnDestroy: "keep" },
  kubernetes: { port: 6379, dataOnDestroy: "keep" },
  existing: { port: 6379, dataOnDestroy: "keep" },
};

/** Defaults of a platform; one that is not in the table gets the careful ones. */
export function platformDefaults(platform: string): PlatformDefaults {
  return PLATFORM_DEFAULTS[platform] ?? { port: 6379, dataOnDestroy: "keep" };
}

/**
 * Counts changes of any default, here and in the directives of `components/config`. A stack records the one it was made
 * with and keeps it, so that a later default changes nobody who did not ask for it.
 */
export const DEFAULTS_VERSION = 1;
