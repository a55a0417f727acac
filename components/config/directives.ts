import type { Engine } from "../spec/spec";
import data from "./directives.json";
import { tableOf } from "./versions";

/** What is known of one directive, for one engine and version. */
export interface DirectiveFact {
  readonly name: string;
  /** `live`: CONFIG SET changes it on a running server. `boot`: only a restart does. */
  readonly change: "live" | "boot";
  /** What a value looks like; `other` has a form of its own, `string` takes anything. */
  readonly kind: DirectiveKind;
  /** The words of an `enum`. */
  readonly values?: readonly string[];
  /** Bounds of `integer` and `memory`, inclusive, where the server has some. */
  readonly min?: bigint;
  readonly max?: bigint;
}

export type DirectiveKind = "yesno" | "enum" | "integer" | "memory" | "memoryOrPercent" | "octal" | "string" | "other";

export interface DirectiveTable {
  /** The versions it is about, as in messages: `redis 7.2`. */
  readonly label: string;
  /**
   * `asked`: a real server of this version said so. `derived`: made from neighbouring versions and their sources.
   * `newer`: no table for a version this new yet; the newest one stands in, and what it does not know may exist.
   */
  readonly evidence: "asked" | "derived" | "newer";
  readonly facts: ReadonlyMap<string, DirectiveFact>;
}

interface Row {
  readonly kind: DirectiveKind;
  readonly change: readonly ("live" | "boot" | "protected" | null)[];
  /** Here and below: one for all servers where they agree, else one for each. */
  readonly values?: readonly string[] | readonly (readonly string[] | null)[];
  readonly min?: string | readonly (string | null)[];
  readonly max?: string | readonly (string | null)[];
}

const ROWS = data.directives as unknown as Readonly<Record<string, Row>>;
type Asked = "redis-7.0" | "redis-8.0" | "valkey-8.1" | "valkey-9.1";

/**
 * CONFIG SET takes these, and yet a restart, or a node of its own, is what changes them. `tls-cluster` says OK and splits
 * the bus at the next restart; a server that moves its port or address while it runs is lost to everybody who knows it.
 */
const LIVE_IN_NAME_ONLY = new Set([
  "bind",
  "port",
  "tls-cluster",
  "tls-port",
  "tls-replication",
  "rdma-bind",
  "rdma-port",
]);

function asked(server: Asked): Map<string, DirectiveFact> {
  const at = data.servers.indexOf(server);
  const facts = new Map<string, DirectiveFact>();
  for (const [name, row] of Object.entries(ROWS)) {
    const change = row.change[at];
    if (!change) continue;
    const values = row.values?.every((value) => typeof value === "string") ? row.values : row.values?.[at];
    const min = typeof row.min === "string" ? row.min : row.min?.[at];
    const max = typeof row.max === "string" ? row.max : row.max?.[at];
    facts.set(name, {
      name,
      change: change === "live" && !LIVE_IN_NAME_ONLY.has(name) ? "live" : "boot",
      kind: row.kind,
      ...(Array.isArray(values) ? { values: values as readonly string[] } : {}),
      ...(min ? { min: BigInt(min) } : {}),
      ...(max ? { max: BigInt(max) } : {}),
    });
  }
  return facts;
}

/** A version that no server at hand has: a neighbour's table, and what its source lists more or less. */
function derived(
  base: Asked,
  { without = [], with: added = {} }: { without?: readonly string[]; with?: Readonly<Record<string, Asked>> },
) {
  const facts = asked(base);
  for (const name of without) facts.delete(name);
  for (const [name, from] of Object.entries(added)) {
    const fact = asked(from).get(name);
    if (fact) facts.set(name, fact);
  }
  return facts;
}

const REDIS_7_2 = {
  "cluster-announce-human-nodename": "redis-8.0",
  "locale-collate": "redis-8.0",
  "set-max-listpack-entries": "redis-8.0",
  "set-max-listpack-value": "redis-8.0",
} as const;

/** In ascending order for each engine; a version takes the last table that is not newer than itself. */
const VERSIONS: readonly {
  engine: Engine["name"];
  version: readonly [number, number];
  evidence: "asked" | "derived";
  facts: () => Map<string, DirectiveFact>;
}[] = [
  { engine: "redis", version: [7, 0], evidence: "asked", facts: () => asked("redis-7.0") },
  {
    engine: "redis",
    version: [7, 2],
    evidence: "derived",
    facts: () => derived("redis-7.0", { without: ["aof-disable-auto-gc"], with: REDIS_7_2 }),
  },
  {
    engine: "redis",
    version: [7, 4],
    evidence: "derived",
    facts: () =>
      derived("redis-8.0", {
        without: ["cluster-compatibility-sample-ratio", "replica-full-sync-buffer-limit"],
        with: { "io-threads-do-reads": "redis-7.0" },
      }),
  },
  { engine: "redis", version: [8, 0], evidence: "asked", facts: () => asked("redis-8.0") },
  {
    engine: "valkey",
    version: [7, 2],
    evidence: "derived",
    facts: () => derived("redis-7.0", { without: ["aof-disable-auto-gc"], with: REDIS_7_2 }),
  },
  {
    engine: "valkey",
    version: [8, 0],
    evidence: "derived",
    facts: () =>
      derived("valkey-8.1", {
        without: [
          "active-defrag-cycle-us",
          "cluster-manual-failover-timeout",
          ...Object.keys(ROWS).filter((name) => /^(commandlog|rdma)-/.test(name)),
          "import-mode",
          "log-format",
          "log-timestamp-format",
          "rdb-version-check",
        ],
        with: { "dynamic-hz": "redis-7.0", "io-threads-do-reads": "redis-7.0" },
      }),
  },
  { engine: "valkey", version: [8, 1], evidence: "asked", facts: () => asked("valkey-8.1") },
  // What 9.1 added to 9.0 is not known here, so that nothing is refused which one of its two neighbours has.
  {
    engine: "valkey",
    version: [9, 0],
    evidence: "derived",
    facts: () => new Map([...asked("valkey-8.1"), ...asked("valkey-9.1")]),
  },
  { engine: "valkey", version: [9, 1], evidence: "asked", facts: () => asked("valkey-9.1") },
];

const tables = new Map<string, DirectiveTable>();

/** The directives of one engine and version. */
export function directiveTable(engine: Engine): DirectiveTable {
  const { table: entry, version, newer } = tableOf(VERSIONS, engine, "directives");
  const label = `${engine.name} ${newer ? version : entry.version.join(".")}`;
  let table = tables.get(label);
  if (!table) {
    table = { label, evidence: newer ? "newer" : entry.evidence, facts: entry.facts() };
    tables.set(label, table);
  }
  return table;
}

/** Every table of an engine, oldest first: to say since when a directive is known. */
export function directiveTables(engine: Engine["name"]): DirectiveTable[] {
  return VERSIONS.filter((entry) => entry.engine === engine).map((entry) =>
    directiveTable({ name: engine, version: entry.version.join(".") }),
  );
}

/** What kind of value a directive takes, whatever the version; undefined where no version knows it. */
export function directiveKind(name: string): DirectiveKind | undefined {
  return ROWS[name.toLowerCase()]?.kind;
}

/** Two names of one directive are one setting: the name that the newest versions print first in their documents. */
export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  return (Object.hasOwn(ALIASES, lower) ? ALIASES[lower] : undefined) ?? lower;
}

const ALIASES: Readonly<Record<string, string>> = {
  aof_rewrite_cpulist: "aof-rewrite-cpulist",
  bgsave_cpulist: "bgsave-cpulist",
  bio_cpulist: "bio-cpulist",
  server_cpulist: "server-cpulist",
  "cluster-slave-no-failover": "cluster-replica-no-failover",
  "cluster-slave-validity-factor": "cluster-replica-validity-factor",
  "commandlog-execution-slower-than": "slowlog-log-slower-than",
  "commandlog-slow-execution-max-len": "slowlog-max-len",
  "hash-max-ziplist-entries": "hash-max-listpack-entries",
  "hash-max-ziplist-value": "hash-max-listpack-value",
  "list-max-ziplist-size": "list-max-listpack-size",
  "lua-time-limit": "busy-reply-threshold",
  "min-slaves-max-lag": "min-replicas-max-lag",
  "min-slaves-to-write": "min-replicas-to-write",
  primaryauth: "masterauth",
  primaryuser: "masteruser",
  "repl-ping-slave-period": "repl-ping-replica-period",
  "slave-announce-ip": "replica-announce-ip",
  "slave-announce-port": "replica-announce-port",
  "slave-ignore-maxmemory": "replica-ignore-maxmemory",
  "slave-lazy-flush": "replica-lazy-flush",
  "slave-priority": "replica-priority",
  "slave-read-only": "replica-read-only",
  "slave-serve-stale-data": "replica-serve-stale-data",
  slaveof: "replicaof",
  "zset-max-ziplist-entries": "zset-max-listpack-entries",
  "zset-max-ziplist-value": "zset-max-listpack-value",
};
