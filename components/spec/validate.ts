import type { RedisClusterArgs } from "./args";
import { BUS_PORT_OFFSET } from "./busPort";
import { checkMigration } from "./checkMigration";
import { checkRolling, checkShape, describeShape, type Shape } from "./checkShape";
import { checkDomain, checkTls } from "./checkTls";
import { checkUsers, type JudgeCommands } from "./checkUsers";
import { checkEngine, checkMemory, checkPersistence, type DeclaredEngine, OLDEST_ENGINE } from "./checkValues";
import { DEFAULTS, platformDefaults } from "./defaults";
import { NODES_PER_SHARD, ordinalOf } from "./ordinals";
import { kindOf, Problems, readBoolean, readInteger, readObject, readWord, refuseUnknownKeys, show } from "./reader";
import type { ClusterSpec, Engine, Problem } from "./spec";

export type { DeclaredEngine } from "./checkValues";
export { formatProblem, formatProblems } from "./formatProblems";

/** What the platform knows and the arguments do not say. */
export interface PlatformFacts {
  /** `local`, `docker`, `aws`, `kubernetes`, `existing`. */
  readonly platform: string;
  /** As the user gave them, in any order; duplicates and bad names are reported here. */
  readonly zones: readonly string[];
  /** The argument that zones come from, for messages. Default: `zones`. */
  readonly zonesProperty?: string;
  /** What runs where the arguments name no engine; undefined where the platform could not tell, which is then among `problems`. */
  readonly defaultEngine: Engine | undefined;
  /** Judges what is declared of the engine: whether this platform runs it. Default: it runs any. */
  readonly judgeEngine?: (declared: DeclaredEngine) => readonly Problem[];
  /** Memory of one node in bytes, where the platform knows it. */
  readonly nodeMemoryBytes?: number;
  /** Names of the arguments that this platform adds to the common ones. */
  readonly platformArguments?: readonly string[];
  /** How many ports a cluster has, where each node's is the first one plus the node's number (`ordinalOf`). Default: all nodes have the same port. */
  readonly numberedPorts?: number;
  /** Judges `redisConfig`, names in lower case, for this engine: unknown and managed directives. Undefined: which engine is meant is not known. */
  readonly checkRedisConfig: (
    redisConfig: Readonly<Record<string, string>>,
    engine: Engine | undefined,
  ) => readonly Problem[];
  /** Judges the command rules of users. Default: all are taken. */
  readonly checkCommandRules?: JudgeCommands;
  /** What the platform found in its own arguments and around it, to be reported with the rest. */
  readonly problems?: readonly Problem[];
}

export interface Validation {
  /** Absent where there is any error. */
  readonly spec: ClusterSpec | undefined;
  /** The same with defaults in place of what is wrong, for further checks of what is not. */
  readonly completed: ClusterSpec;
  /** Errors and warnings, in the order of the checks. */
  readonly problems: Problem[];
}

const ARGUMENTS: readonly (keyof RedisClusterArgs)[] = [
  "masters",
  "replicasPerMaster",
  "engine",
  "port",
  "maxmemory",
  "nodeMemory",
  "maxmemoryPolicy",
  "persistence",
  "minReplicasToWrite",
  "minReplicasMaxLagSeconds",
  "nodeTimeoutMilliseconds",
  "requireFullCoverage",
  "allowReadsWhenDown",
  "replicaValidityFactor",
  "redisConfig",
  "users",
  "passwordRotation",
  "passwordOverlapSeconds",
  "openDefaultUser",
  "tls",
  "domain",
  "migration",
  "rolling",
  "dataOnDestroy",
];

/**
 * Checks a declaration and completes it with the defaults. Nothing is thrown: all problems are reported together, each
 * with what it got, what is allowed and what to do. Values of wrong types (plain JavaScript) are problems too.
 */
export function validateSpec(name: string, args: RedisClusterArgs, facts: PlatformFacts): Validation {
  const problems = new Problems();
  const given: RedisClusterArgs = readObject(problems, "args", args);
  refuseUnknownKeys(problems, "", given, [...ARGUMENTS, ...(facts.platformArguments ?? [])]);

  const shape = checkShape(problems, name, given, {
    zones: facts.zones,
    zonesProperty: facts.zonesProperty ?? "zones",
    ordinals: facts.numberedPorts,
  });
  const engine = checkEngine(problems, given.engine, facts.defaultEngine, facts.judgeEngine ?? (() => []));
  const port = checkPort(problems, given.port, facts, shape);
  const persistence = checkPersistence(problems, given.persistence, shape.replicasPerMaster);
  const memory = checkMemory(problems, given, persistence.mode, facts.nodeMemoryBytes);
  const guarantees = checkGuarantees(problems, given, shape.replicasPerMaster);
  const redisConfig = checkRedisConfig(problems, given.redisConfig, engine, facts);
  const users = checkUsers(problems, given, engine, facts.checkCommandRules ?? (() => []));
  const tls = checkTls(problems, given);
  if (tls?.plainPort !== undefined && problems.isSound("tls.plainPort"))
    checkPlainPort(problems, tls.plainPort, given.port, port, facts, shape);
  const domain = checkDomain(problems, given.domain, String(name).length + NODE_NAME_ROOM);
  const completed: ClusterSpec = {
    name,
    platform: facts.platform,
    engine: engine ?? facts.defaultEngine ?? OLDEST_ENGINE,
    masters: shape.masters ?? DEFAULTS.masters,
    replicasPerMaster: shape.replicasPerMaster ?? DEFAULTS.replicasPerMaster,
    zones: shape.zones ?? [],
    port,
    ...memory,
    persistence,
    ...guarantees,
    redisConfig,
    ...(users ? { users } : {}),
    ...(tls ? { tls } : {}),
    ...(domain === undefined ? {} : { domain }),
    migration: checkMigration(problems, given.migration),
    shardsAtOnce: checkRolling(problems, given.rolling, shape.masters),
    dataOnDestroy: readWord(
      problems,
      "dataOnDestroy",
      given.dataOnDestroy,
      platformDefaults(facts.platform).dataOnDestroy,
      ["keep", "delete"],
    ),
  };
  problems.list.push(...(facts.problems ?? []));
  // Which engine runs may be unknown only with a reason that was reported.
  const failed = engine === undefined || problems.list.some(({ severity }) => severity === "error");
  return { spec: failed ? undefined : completed, completed, problems: problems.list };
}

/** What a node's name has beyond the cluster's: a shard's number, and a zone, which is a label. */
const NODE_NAME_ROOM = 8 + 63;

const MOST_PORT = 65535 - BUS_PORT_OFFSET;
/** From here on Linux gives ports to outgoing connections, so that a bus port may be taken before the server starts. */
const EPHEMERAL_FROM = 32768;

function checkPort(
  problems: Problems,
  value: unknown,
  { platform, numberedPorts }: PlatformFacts,
  { masters, replicasPerMaster }: Shape,
): number {
  const { port: fallback } = platformDefaults(platform);
  // How far the last node's port is from the first; of a shape that is wrong itself only how far it may be.
  const numbered = numberedPorts !== undefined && masters !== undefined && replicasPerMaster !== undefined;
  const span = numbered ? ordinalOf(masters - 1, replicasPerMaster) : 0;
  // On a machine of its own few connections go out; on a developer's one of them sits on a bus port sooner or later.
  const strict = platform === "local";
  const room = numbered ? span : (numberedPorts ?? 1) - 1;
  const most = MOST_PORT - room;
  const safe = EPHEMERAL_FROM - 1 - BUS_PORT_OFFSET - room;
  const allowed = strict ? safe : most;
  const port = readInteger(problems, "port", value, fallback, {
    least: 1,
    use: `use 1 to ${allowed}`,
    most: MOST_PORT,
    useLess: `use ${allowed} or less, since the bus port is ${BUS_PORT_OFFSET} above and ${strict ? `has to be below ${EPHEMERAL_FROM}, from where on the system gives ports to outgoing connections` : "ends at 65535"}`,
  });
  const last = port + span;
  const named =
    span > 0 && numbered
      ? `${port} makes the last node's port ${last} (${describeShape(masters, replicasPerMaster)}, ${NODES_PER_SHARD} ports a shard)`
      : `${port}`;
  if (last > MOST_PORT) {
    problems.error("port", `${named}, and its bus port would be above 65535; use ${allowed} or less`);
  } else if (last + BUS_PORT_OFFSET >= EPHEMERAL_FROM) {
    const message = `${named}, so its bus port is ${last + BUS_PORT_OFFSET}: the system gives ports from ${EPHEMERAL_FROM} on to outgoing connections; use ${safe} or less`;
    if (strict) problems.error("port", message);
    else problems.warn("port", message);
  } else if (port < 1024 && strict) {
    problems.warn("port", `${port} is below 1024, which only root may listen on; use 1024 or more`);
  }
  return port;
}

/** The ports without TLS must be neither those with it nor those of the bus. */
function checkPlainPort(
  problems: Problems,
  plain: number,
  named: unknown,
  port: number,
  { numberedPorts }: PlatformFacts,
  { masters, replicasPerMaster }: Shape,
): void {
  const numbered = numberedPorts !== undefined && masters !== undefined && replicasPerMaster !== undefined;
  const span = numbered ? ordinalOf(masters - 1, replicasPerMaster) : 0;
  if (numberedPorts !== undefined && named === undefined) {
    problems.error(
      "tls.plainPort",
      `${plain} is named and \`port\` is not, so they may meet; name \`port\` too, such as ${port}`,
    );
    return;
  }
  const last = plain + span;
  if (last > 65535)
    problems.error("tls.plainPort", `${plain} makes the last node's plain port ${last}; use ${65535 - span} or less`);
  for (const [what, first] of [
    ["client ports", port],
    ["bus ports", port + BUS_PORT_OFFSET],
  ] as const) {
    if (last < first || plain > first + span) continue;
    const range = span === 0 ? `${first}` : `${first} to ${first + span}`;
    problems.error("tls.plainPort", `${plain} is among the ${what} of the nodes (${range}); use one below or above`);
  }
}

type Guarantees = Pick<
  ClusterSpec,
  | "minReplicasToWrite"
  | "minReplicasMaxLagSeconds"
  | "nodeTimeoutMilliseconds"
  | "requireFullCoverage"
  | "allowReadsWhenDown"
  | "replicaValidityFactor"
>;

function checkGuarantees(problems: Problems, args: RedisClusterArgs, replicas: number | undefined): Guarantees {
  const minReplicasToWrite = readInteger(
    problems,
    "minReplicasToWrite",
    args.minReplicasToWrite,
    DEFAULTS.minReplicasToWrite,
    {
      least: 0,
      use: "use 0 (off) or more",
    },
  );
  if (replicas === undefined) {
    // How many there are to be was reported as wrong, so whether these are too many cannot be said.
  } else if (minReplicasToWrite > replicas) {
    problems.error(
      "minReplicasToWrite",
      `${minReplicasToWrite} is more than the ${replicas} ${replicas === 1 ? "replica" : "replicas"} of a master, so every write would be refused; use ${replicas} or less, or more replicas`,
    );
  } else if (minReplicasToWrite > 0 && minReplicasToWrite === replicas) {
    const which = replicas === 1 ? "the only replica" : `any of the ${replicas} replicas`;
    problems.warn(
      "minReplicasToWrite",
      `${minReplicasToWrite} with replicasPerMaster: ${replicas} means that the loss of ${which} stops the writes of its shard, and so does a failover until the lost node is back; use replicasPerMaster: ${replicas + 1} to write on`,
    );
  }
  const nodeTimeoutMilliseconds = readInteger(
    problems,
    "nodeTimeoutMilliseconds",
    args.nodeTimeoutMilliseconds,
    DEFAULTS.nodeTimeoutMilliseconds,
    {
      least: 500,
      // Nodes look at each other ten times a second, and a fork of some gigabytes stops a server for 100 ms and more.
      use: "use 500 or more: below, a fork or a slow command looks like a lost node",
      most: 3_600_000,
      useLess: "use 3600000 (an hour) or less",
    },
  );
  if (nodeTimeoutMilliseconds < 2000) {
    problems.warn(
      "nodeTimeoutMilliseconds",
      `${nodeTimeoutMilliseconds} is low: a slow command, a fork or a busy machine may cause a failover that nobody needs; use 2000 or more`,
    );
  } else if (nodeTimeoutMilliseconds > 60_000) {
    problems.warn(
      "nodeTimeoutMilliseconds",
      `${nodeTimeoutMilliseconds} is high: a lost master's slots stay down for at least that long; use 60000 or less`,
    );
  }
  return {
    minReplicasToWrite,
    minReplicasMaxLagSeconds: readInteger(
      problems,
      "minReplicasMaxLagSeconds",
      args.minReplicasMaxLagSeconds,
      DEFAULTS.minReplicasMaxLagSeconds,
      {
        least: 1,
        use: "use 1 or more, since 0 would switch minReplicasToWrite off",
        most: 2 ** 31 - 1,
      },
    ),
    nodeTimeoutMilliseconds,
    requireFullCoverage: readBoolean(
      problems,
      "requireFullCoverage",
      args.requireFullCoverage,
      DEFAULTS.requireFullCoverage,
    ),
    allowReadsWhenDown: readBoolean(
      problems,
      "allowReadsWhenDown",
      args.allowReadsWhenDown,
      DEFAULTS.allowReadsWhenDown,
    ),
    replicaValidityFactor: readInteger(
      problems,
      "replicaValidityFactor",
      args.replicaValidityFactor,
      DEFAULTS.replicaValidityFactor,
      {
        least: 0,
        use: "use 0 (always valid) or more",
        most: 2 ** 31 - 1,
      },
    ),
  };
}

/** Directives whose values are secrets: they are refused, and until then not shown. */
const SECRET_DIRECTIVE = /pass|auth$|^user$/;

function checkRedisConfig(
  problems: Problems,
  value: unknown,
  engine: Engine | undefined,
  facts: PlatformFacts,
): Record<string, string> {
  const config = new Map<string, string>();
  for (const [directive, setting] of Object.entries(readObject(problems, "redisConfig", value))) {
    if (setting === undefined) continue;
    const name = directive.toLowerCase();
    const property = `redisConfig.${name}`;
    if (!/^[a-z0-9-]+$/.test(name)) {
      problems.error(
        "redisConfig",
        `${show(directive)} is not a directive's name; use letters, digits and hyphens, as in redis.conf`,
      );
    } else if (typeof setting !== "string" && SECRET_DIRECTIVE.test(name)) {
      problems.error(property, `got ${kindOf(setting)}; must be a string, as in redis.conf`);
    } else if (typeof setting !== "string") {
      const text = typeof setting === "boolean" ? (setting ? "yes" : "no") : show(setting);
      problems.error(
        property,
        `got ${show(setting)} (${typeof setting}); must be a string, as in redis.conf${typeof setting === "object" ? "" : `: write "${text}"`}`,
      );
    } else if (/[\r\n\0]/.test(setting)) {
      problems.error(
        property,
        `${SECRET_DIRECTIVE.test(name) ? "" : `${show(setting)} `}has a line break in it; use one line, one directive`,
      );
    } else if (config.has(name)) {
      problems.error(property, "is given twice, in capitals and in small letters; give it once");
    } else {
      config.set(name, setting);
    }
  }
  const sorted = Object.fromEntries([...config].sort(([a], [b]) => (a < b ? -1 : 1)));
  problems.list.push(...facts.checkRedisConfig(sorted, engine));
  return sorted;
}
