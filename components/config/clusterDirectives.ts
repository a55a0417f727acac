import type { ClusterSpec } from "../spec/spec";
import { canonicalName, type DirectiveTable, directiveTable } from "./directives";
import { isManaged } from "./managed";
import { mergeBufferLimits } from "./normalize";
import { MULTIPLE } from "./redisConf";
import type { Directive, DirectiveSplit } from "./types";

const MIB = 1024 * 1024;

/**
 * Every directive that is the same on all nodes, split by who owns it: `boot` needs a restart, `live` is CONFIG SET.
 * Sorted by name. `redisConfig` replaces what is only a default here, never what the component manages.
 */
export function clusterDirectives(spec: ClusterSpec): DirectiveSplit {
  const table = directiveTable(spec.engine);
  const chosen = new Map<string, Directive>();
  const put = (name: string, value: string) => chosen.set(canonicalName(name), { name, value });
  for (const [name, value] of Object.entries(defaults(spec))) {
    // Names come and go between versions, and an unknown one keeps the server from starting.
    if (isKnown(table, spec, name)) put(name, value);
  }
  for (const [given, value] of Object.entries(spec.redisConfig)) {
    const name = given.toLowerCase();
    const before = chosen.get(name)?.value ?? "";
    if (name === "client-output-buffer-limit") put(name, mergeBufferLimits(before, value));
    // CONFIG SET splits lists at each single blank, and takes two for an empty word.
    else put(name, MULTIPLE.has(name) ? value.trim().replace(/\s+/g, " ") : value);
  }
  for (const [name, value] of Object.entries(managed(spec))) put(name, value);
  return splitDirectives([...chosen.values()], table);
}

/** A derived table may know more than the version does; what nobody asked for is set only where both neighbours have it. */
function isKnown(table: DirectiveTable, spec: ClusterSpec, name: string): boolean {
  if (!table.facts.has(name)) return false;
  if (table.label !== "valkey 9.0") return true;
  return directiveTable({ ...spec.engine, version: "8.1" }).facts.has(name);
}

/** What `redisConfig` cannot change, because arguments or the component's own promises decide it (see managed.ts). */
function managed(spec: ClusterSpec): Record<string, string> {
  const { persistence } = spec;
  const snapshots = persistence.mode === "rdb" || persistence.mode === "hybrid";
  const log = persistence.mode === "aof" || persistence.mode === "hybrid";
  return {
    "cluster-enabled": "yes",
    "cluster-config-file": "nodes.conf",
    "cluster-node-timeout": String(spec.nodeTimeoutMilliseconds),
    "cluster-require-full-coverage": yesNo(spec.requireFullCoverage),
    "cluster-allow-reads-when-down": yesNo(spec.allowReadsWhenDown),
    // Redis's own migration of replicas to orphaned masters ignores zones.
    "cluster-allow-replica-migration": "no",
    "cluster-replica-validity-factor": String(spec.replicaValidityFactor),
    "min-replicas-to-write": String(spec.minReplicasToWrite),
    "min-replicas-max-lag": String(spec.minReplicasMaxLagSeconds),
    maxmemory: String(spec.maxmemoryBytes),
    "maxmemory-policy": spec.maxmemoryPolicy,
    save: snapshots ? persistence.savePoints.map(({ seconds, changes }) => `${seconds} ${changes}`).join(" ") : "",
    appendonly: yesNo(log),
    appendfsync: persistence.appendfsync,
    "aof-use-rdb-preamble": yesNo(persistence.mode !== "aof"),
    ...(spec.tls ? { "tls-auth-clients": spec.tls.clientAuth } : {}),
  };
}

/** What holds unless `redisConfig` says otherwise. */
function defaults(spec: ClusterSpec): Record<string, string> {
  const backlog = backlogBytes(spec.maxmemoryBytes);
  return {
    // Freeing in the background: a big key that expires, is evicted, deleted or replaced must not stop the others.
    "lazyfree-lazy-eviction": "yes",
    "lazyfree-lazy-expire": "yes",
    "lazyfree-lazy-server-del": "yes",
    "lazyfree-lazy-user-del": "yes",
    "lazyfree-lazy-user-flush": "yes",
    "replica-lazy-flush": "yes",
    // Small collections stay compact up to these limits; written down, so that an upgrade does not change them.
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "64",
    "list-max-listpack-size": "-2",
    "set-max-intset-entries": "512",
    "set-max-listpack-entries": "128",
    "set-max-listpack-value": "64",
    "zset-max-listpack-entries": "128",
    "zset-max-listpack-value": "64",
    // The copy for a new replica goes over the socket; a lone replica has nobody to wait for, several share one copy.
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": spec.replicasPerMaster > 1 ? "1" : "0",
    "repl-diskless-sync-max-replicas": String(spec.replicasPerMaster),
    // Without a file in between, but only where no older copy would be given up for it.
    "repl-diskless-load": "on-empty-db",
    "repl-backlog-size": String(backlog),
    "client-output-buffer-limit": mergeBufferLimits(
      "normal 0 0 0 pubsub 33554432 8388608 60",
      replicaBufferLimit(backlog),
    ),
    // Connections through NAT and load balancers are forgotten after some minutes of silence; dead clients show sooner.
    "tcp-keepalive": "60",
    "tcp-backlog": "511",
    timeout: "0",
    // On SIGTERM: wait for replicas to catch up, snapshot where there are save points, then go.
    "shutdown-on-sigterm": "default",
    "shutdown-timeout": "10",
    // Costs nothing until something takes this many milliseconds, and then says what.
    "latency-monitor-threshold": "100",
  };
}

/**
 * How much of the stream of writes a master keeps for replicas that were away. The server's 1 MB is gone within a second
 * of real load, and every restart would then cost a full copy. 1/64 of maxmemory, between 16 and 256 MiB: a minute at
 * 4 MB/s from 16 GB up. Memory is taken only as writes come.
 */
function backlogBytes(maxmemoryBytes: number): number {
  if (maxmemoryBytes === 0) return 32 * MIB;
  return Math.min(256 * MIB, Math.max(16 * MIB, Math.floor(maxmemoryBytes / 64 / MIB) * MIB));
}

/**
 * When a replica that does not keep up is cut off. The server's 256 MB, 64 MB for 60 s, with the backlog never above the
 * lower one: a replica in its first copy would be cut off again and again under a load that the backlog is meant for.
 */
function replicaBufferLimit(backlog: number): string {
  const soft = Math.max(64 * MIB, backlog);
  return `replica ${Math.max(256 * MIB, 2 * soft)} ${soft} 60`;
}

/** Splits by the table, sorted by name; what no table knows needs a restart, which is right in any case. */
export function splitDirectives(directives: readonly Directive[], table: DirectiveTable): DirectiveSplit {
  const sorted = [...directives].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const live = (directive: Directive) => table.facts.get(directive.name)?.change === "live";
  return { boot: sorted.filter((directive) => !live(directive)), live: sorted.filter(live) };
}

/** One split of several; of two settings of one directive the later one holds. */
export function mergeDirectives(...splits: readonly DirectiveSplit[]): DirectiveSplit {
  const all = new Map<string, { directive: Directive; part: keyof DirectiveSplit }>();
  for (const split of splits) {
    for (const part of ["boot", "live"] as const) {
      for (const directive of split[part]) all.set(canonicalName(directive.name), { directive, part });
    }
  }
  const entries = [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
  const of = (part: keyof DirectiveSplit) =>
    entries.filter((entry) => entry.part === part).map((entry) => entry.directive);
  return { boot: of("boot"), live: of("live") };
}

/** All directives of a split in one list, sorted: what the first redis.conf of a node has. */
export function allDirectives(split: DirectiveSplit): Directive[] {
  return [...split.boot, ...split.live].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** For the test that managed.ts knows every directive which arguments decide. */
export function unlistedManaged(spec: ClusterSpec): string[] {
  return Object.keys(managed(spec)).filter((name) => !isManaged(name));
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}
