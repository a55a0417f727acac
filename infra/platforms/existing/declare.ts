import * as pulumi from "@pulumi/pulumi";
import { checkRedisConfig, clusterDirectives, normalizeSetting } from "../../../components/config";
import { canonicalName } from "../../../components/config/directives";
import type { ExistingHost } from "../../../components/formation/runner/existing";
import type { PersistenceArgs, RedisClusterArgs } from "../../../components/spec/args";
import { checkConnection } from "../../../components/spec/checkConnection";
import { DEFAULTS } from "../../../components/spec/defaults";
import {
  checkSecretText,
  Problems,
  readBoolean,
  readObject,
  readText,
  refuseUnknownKeys,
  show,
} from "../../../components/spec/reader";
import type { ClusterSpec, Engine, MigrationLimits, Problem } from "../../../components/spec/spec";
import { formatProblems, validateSpec } from "../../../components/spec/validate";
import { type HostWishes, tooFew } from "../../../components/topology/hosts";
import type { ExistingRedisClusterArgs } from "./args";
import { readNodes, zonesOf } from "./nodes";

/** A declaration over given hosts that passed validation: only what was given, nothing completed by defaults. */
export interface ExistingDeclaration {
  readonly hosts: readonly ExistingHost[];
  readonly wishes: HostWishes;
  readonly engine: Engine | undefined;
  readonly settings: Readonly<Record<string, string>>;
  readonly username: string | undefined;
  /** Bounds for moves of slots. */
  readonly migration: MigrationLimits;
  readonly given: readonly string[];
  readonly warnings: readonly Problem[];
}

/** Stands in where no engine is declared; directives are then not judged by it. */
const ANY_ENGINE: Engine = { name: "redis", version: "7.0" };
/** About these, what was not declared is not known here. */
const SHAPE = ["masters", "replicasPerMaster", "zones", "nodes"];
const NOT_OURS = "somebody else provides these machines, and they are not replaced, rolled or restarted from here";

/**
 * Validates a declaration, all problems at once.
 * @throws pulumi.RunError that lists every problem: what it got, what is allowed, what to do
 */
export function declareExisting(name: string, args: ExistingRedisClusterArgs): ExistingDeclaration {
  const { declaration, problems } = validateExisting(name, args);
  if (!declaration) throw new pulumi.RunError(formatProblems(name, problems));
  return declaration;
}

export function validateExisting(
  name: string,
  args: ExistingRedisClusterArgs,
): { declaration: ExistingDeclaration | undefined; problems: readonly Problem[] } {
  const problems = new Problems();
  const read: Partial<ExistingRedisClusterArgs> = readObject(problems, "args", args);
  const { nodes, rebalance, username, password, tls, connection, dataOnDestroy, rolling, ...common } = read;
  const hosts = readNodes(problems, name, nodes, common.port);
  const validation = validateSpec(name, forHosts(common, hosts.length), {
    platform: "existing",
    zones: zonesOf(hosts),
    zonesProperty: "nodes",
    defaultEngine: ANY_ENGINE,
    platformArguments: ["nodes", "rebalance", "username", "password", "connection"],
    checkRedisConfig: (redisConfig, engine) => judgeRedisConfig(redisConfig, engine, common.engine !== undefined),
  });
  const assumed = (p: Problem) =>
    p.severity === "warning" &&
    (SHAPE.includes(p.property) ||
      (p.property === "minReplicasToWrite" && common.replicasPerMaster === undefined) ||
      (p.property === "maxmemoryPolicy" && common.maxmemory === undefined && common.nodeMemory === undefined));
  problems.list.push(...validation.problems.filter((p) => !assumed(p)));
  const shapely = ["masters", "replicasPerMaster"].every((property) => problems.isSound(property));
  if (shapely && hosts.length > 0 && common.masters !== undefined)
    for (const problem of tooFew(hosts.length, common.masters, common.replicasPerMaster ?? 0))
      problems.error("nodes", `${problem}; add hosts, or ask for less`);
  if (dataOnDestroy !== undefined && dataOnDestroy !== "keep")
    problems.error("dataOnDestroy", `got ${show(dataOnDestroy)}; data on given hosts are never deleted: leave it out`);
  if (rolling !== undefined) problems.error("rolling", `got ${show(rolling)}; ${NOT_OURS}: leave it out`);
  for (const property of ["users", "passwordRotation", "passwordOverlapSeconds", "openDefaultUser"] as const)
    if (common[property] !== undefined)
      problems.error(property, "users of given hosts stay with whoever provides them: leave it out");
  checkPassword(problems, password);
  checkTrust(problems, tls);
  if ((common as RedisClusterArgs).domain !== undefined)
    problems.error("domain", "what given hosts announce is for whoever provides them to say: leave it out");
  checkConnection(problems, connection);
  if (username !== undefined && password === undefined)
    problems.error("username", "is given without a password; give both, or neither");
  const user = readText(problems, "username", username);
  const wishes: HostWishes = {
    ...(common.masters === undefined ? {} : { masters: common.masters }),
    ...(common.replicasPerMaster === undefined ? {} : { replicasPerMaster: common.replicasPerMaster }),
    rebalance: readBoolean(problems, "rebalance", rebalance, false),
  };
  const settings = declaredSettings(problems, validation.completed, common);
  const { spec } = validation;
  if (!spec || problems.list.some((p) => p.severity === "error"))
    return { declaration: undefined, problems: problems.list };
  const given = Object.entries(read).flatMap(([argument, value]) => (value === undefined ? [] : [argument]));
  const engine = common.engine === undefined ? undefined : spec.engine;
  const warnings = problems.list;
  return {
    declaration: {
      hosts,
      wishes,
      engine,
      settings,
      username: user,
      migration: spec.migration,
      given: given.sort(),
      warnings,
    },
    problems: warnings,
  };
}

/** Where the shape is not declared, the largest that the hosts allow, so that nothing is wrong only by a default. */
function forHosts(args: RedisClusterArgs, hosts: number): RedisClusterArgs {
  const masters = typeof args.masters === "number" && args.masters > 0 ? args.masters : DEFAULTS.masters;
  const most = Math.max(1, Math.floor(hosts / masters) - 1);
  // Nothing but undefined stands for "not given": null is a mistake, which has to be reported.
  const { masters: declared = DEFAULTS.masters, replicasPerMaster = most } = args;
  return { ...args, masters: declared, replicasPerMaster };
}

/** Of certificates and keys, which may be known later only: whether they are there, and go together. No value is shown. */
function checkTrust(problems: Problems, tls: unknown): void {
  if (tls === undefined) return;
  const given = readObject(problems, "tls", tls);
  if (!problems.isSound("tls")) return;
  refuseUnknownKeys(problems, "tls.", given, ["caCertificatePem", "certificatePem", "keyPem"]);
  const { certificatePem, keyPem } = given;
  if (given["caCertificatePem"] === undefined)
    problems.error(
      "tls.caCertificatePem",
      "is missing; give the authority that the nodes' certificates come from, as PEM",
    );
  if ((certificatePem === undefined) !== (keyPem === undefined))
    problems.error("tls", "certificatePem and keyPem go together; give both, or neither");
  for (const [name, value] of Object.entries(given)) checkSecretText(problems, `tls.${name}`, value, "PEM");
}

/** It may be a secret: what it is is said, not its value. */
function checkPassword(problems: Problems, password: unknown): void {
  const promised = typeof (password as { then?: unknown } | null | undefined)?.then === "function";
  if (password === undefined || typeof password === "string" || promised || pulumi.Output.isInstance(password)) return;
  problems.error(
    "password",
    `got ${password === null ? "null" : `a value of type ${typeof password}`}; must be a string, or an Output of one, such as config.requireSecret("password")`,
  );
}

function judgeRedisConfig(
  redisConfig: Readonly<Record<string, string>>,
  engine: Engine | undefined,
  declared: boolean,
): readonly Problem[] {
  if (Object.keys(redisConfig).length === 0) return [];
  if (declared) return checkRedisConfig(redisConfig, engine);
  return [
    {
      severity: "error",
      property: "redisConfig",
      message: `directives are checked by engine and version, which are not declared; add engine: { name: "redis", version: "7.0" } or whatever the hosts run`,
    },
  ];
}

/** Directives that an argument stands for. */
const DIRECTIVES: Partial<Record<keyof RedisClusterArgs, readonly string[]>> = {
  maxmemory: ["maxmemory"],
  nodeMemory: ["maxmemory"],
  maxmemoryPolicy: ["maxmemory-policy"],
  minReplicasToWrite: ["min-replicas-to-write"],
  minReplicasMaxLagSeconds: ["min-replicas-max-lag"],
  nodeTimeoutMilliseconds: ["cluster-node-timeout"],
  requireFullCoverage: ["cluster-require-full-coverage"],
  allowReadsWhenDown: ["cluster-allow-reads-when-down"],
  replicaValidityFactor: ["cluster-replica-validity-factor"],
};

/**
 * What is declared and nothing else, as CONFIG GET prints it; what would take a restart is a problem.
 * @param spec with defaults in place of what was reported already
 */
function declaredSettings(problems: Problems, spec: ClusterSpec, args: RedisClusterArgs): Record<string, string> {
  const declared = new Set<string>();
  for (const [argument, directives] of Object.entries(DIRECTIVES))
    if (args[argument as keyof RedisClusterArgs] !== undefined) for (const name of directives) declared.add(name);
  const { mode, savePoints, appendfsync }: PersistenceArgs = readObject(
    new Problems(),
    "persistence",
    args.persistence,
  );
  if (mode !== undefined) for (const name of ["appendonly", "save", "aof-use-rdb-preamble"]) declared.add(name);
  if (savePoints !== undefined) declared.add("save");
  if (appendfsync !== undefined) declared.add("appendfsync");
  // What a directive takes is known of a known engine only, and of one that was not reported already.
  const engineKnown = ["engine", "engine.name", "engine.version", "redisConfig"].every((p) => problems.isSound(p));
  const sound = ([name]: [string, string]) => engineKnown && problems.isSound(`redisConfig.${name}`);
  const redisConfig = Object.fromEntries(Object.entries(spec.redisConfig).filter(sound));
  for (const name of Object.keys(redisConfig)) declared.add(canonicalName(name));
  const { boot, live } = clusterDirectives({ ...spec, redisConfig });
  for (const { name } of boot.filter((d) => declared.has(canonicalName(d.name))))
    problems.error(
      `redisConfig.${name}`,
      `takes effect by a restart only, and ${NOT_OURS}; set it in each host's own configuration file, restart them one by one, and leave it out here`,
    );
  const limits = redisConfig["client-output-buffer-limit"];
  if (
    limits !== undefined &&
    !["normal", "replica", "pubsub"].every((c) => limits.replaceAll("slave", "replica").includes(c))
  )
    problems.error(
      "redisConfig.client-output-buffer-limit",
      `${show(limits)} leaves out a class, which would then be set to a default that nobody declared; give all of normal, replica and pubsub`,
    );
  return Object.fromEntries(
    live.flatMap(({ name, value }) =>
      declared.has(canonicalName(name)) ? [[name, normalizeSetting(name, value)] as const] : [],
    ),
  );
}
