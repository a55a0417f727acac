import type { PersistenceArgs, RedisClusterArgs, SavePointArgs } from "./args";
import { DEFAULTS } from "./defaults";
import { maxmemoryFor } from "./memory";
import { type Problems, readInteger, readObject, readText, readWord, refuseUnknownKeys, show } from "./reader";
import { describeSize, formatSize, parseSize, SIZE_SYNTAX } from "./sizes";
import type { Engine, EngineName, Persistence, Problem } from "./spec";

export const MAXMEMORY_POLICIES = [
  "noeviction",
  "allkeys-lru",
  "allkeys-lfu",
  "allkeys-random",
  "volatile-lru",
  "volatile-lfu",
  "volatile-random",
  "volatile-ttl",
] as const;
const PERSISTENCE_MODES = ["none", "rdb", "aof", "hybrid"] as const;
const APPENDFSYNC = ["always", "everysec", "no"] as const;

const ENGINES: readonly EngineName[] = ["redis", "valkey"];
/** What this component can run at all. */
const LEAST_VERSION: Readonly<Record<EngineName, readonly [number, number]>> = { redis: [7, 0], valkey: [7, 2] };
/** Stands in where nobody knows which engine it is. */
export const OLDEST_ENGINE: Engine = { name: "redis", version: "7.0" };
/** What the component's tests run against real servers. */
const VERIFIED: Readonly<Record<EngineName, readonly string[]>> = { redis: ["7.0", "8.0"], valkey: ["8.1", "9.1"] };

/** The engine as declared: what was not given is absent, and so is what was given wrong. */
export type DeclaredEngine = Partial<Engine>;

/**
 * @param fallback what runs where none is declared; undefined where the platform could not tell
 * @param judge whether the platform runs what is declared
 * @returns undefined where it cannot be told which engine is meant
 */
export function checkEngine(
  problems: Problems,
  value: unknown,
  fallback: Engine | undefined,
  judge: (declared: DeclaredEngine) => readonly Problem[],
): Engine | undefined {
  const given = readObject(problems, "engine", value);
  refuseUnknownKeys(problems, "engine.", given, ["name", "version"]);
  const word = given.name === undefined ? undefined : readWord(problems, "engine.name", given.name, "redis", ENGINES);
  const named = problems.isSound("engine.name") ? word : undefined;
  const name = problems.isSound("engine.name") ? (word ?? fallback?.name) : undefined;
  const text = readText(problems, "engine.version", given.version);
  if (text !== undefined) checkVersion(problems, name, text);
  const version = problems.isSound("engine.version") ? text : undefined;
  const readable = ["engine", "engine.name", "engine.version"].every((property) => problems.isSound(property));
  const wrong = judge({
    ...(named === undefined ? {} : { name: named }),
    ...(version === undefined ? {} : { version }),
  });
  problems.list.push(...wrong);
  if (!readable || name === undefined) return undefined;
  if (version !== undefined) return { name, version };
  if (name === fallback?.name) return fallback;
  if (fallback !== undefined && wrong.length === 0) {
    problems.error(
      "engine.version",
      `missing for ${name} (this platform's own default is ${fallback.name} ${fallback.version}); give one, such as "${VERIFIED[name].at(-1)}"`,
    );
  }
  return undefined;
}

function checkVersion(problems: Problems, name: EngineName | undefined, version: string): void {
  const [, major, minor] = /^(\d+)\.(\d+)(?:\.\d+)?$/.exec(version) ?? [];
  if (major === undefined || minor === undefined) {
    problems.error(
      "engine.version",
      `${show(version)} is not a version; use two or three numbers, such as "${VERIFIED[name ?? "redis"].at(-1)}"`,
    );
    return;
  }
  // Which versions there are depends on the engine, which was reported as unknown.
  if (name === undefined) return;
  const [leastMajor, leastMinor] = LEAST_VERSION[name];
  if (Number(major) < leastMajor || (Number(major) === leastMajor && Number(minor) < leastMinor)) {
    problems.error("engine.version", `${name} ${version} is too old; use ${leastMajor}.${leastMinor} or later`);
  } else if (!VERIFIED[name].includes(`${Number(major)}.${Number(minor)}`)) {
    problems.warn(
      "engine.version",
      `${name} ${version} is unverified: tests run against ${name} ${VERIFIED[name].join(" and ")}; try it on a stack of its own first`,
    );
  }
}

export function checkPersistence(
  problems: Problems,
  value: unknown,
  replicasPerMaster: number | undefined,
): Persistence {
  const given: { [K in keyof PersistenceArgs]: unknown } = readObject(problems, "persistence", value);
  refuseUnknownKeys(problems, "persistence.", given, ["mode", "savePoints", "appendfsync"]);
  const mode = readWord(problems, "persistence.mode", given.mode, DEFAULTS.persistence.mode, PERSISTENCE_MODES);
  const appendfsync = readWord(
    problems,
    "persistence.appendfsync",
    given.appendfsync,
    DEFAULTS.persistence.appendfsync,
    APPENDFSYNC,
  );
  const snapshots = mode === "rdb" || mode === "hybrid";
  const savePoints = checkSavePoints(problems, given.savePoints);
  if (given.savePoints !== undefined && !snapshots)
    problems.warn("persistence.savePoints", `has no effect in mode "${mode}"; use "rdb" or "hybrid", or leave it out`);
  if (given.appendfsync !== undefined && (mode === "none" || mode === "rdb")) {
    problems.warn("persistence.appendfsync", `has no effect in mode "${mode}"; use "aof" or "hybrid", or leave it out`);
  }
  if (mode === "rdb" && savePoints.length === 0)
    problems.error(
      "persistence.savePoints",
      'none in mode "rdb" keeps nothing on disk; give one or more, or say mode "none"',
    );
  if (mode === "none" && (replicasPerMaster ?? 0) > 0) {
    problems.warn(
      "persistence.mode",
      '"none": a master that restarts before its replica took over comes back empty, and its replica then empties itself too; use "hybrid", or only for data that may be lost',
    );
  }
  return { mode, savePoints: snapshots ? savePoints : [], appendfsync };
}

function checkSavePoints(problems: Problems, value: unknown): SavePointArgs[] {
  if (value === undefined) return DEFAULTS.persistence.savePoints.map((point) => ({ ...point }));
  if (!Array.isArray(value)) {
    problems.error("persistence.savePoints", `got ${show(value)}; must be a list of { seconds, changes }`);
    return [...DEFAULTS.persistence.savePoints];
  }
  // Not map, which leaves out what a list of plain JavaScript does not have.
  return Array.from(value as unknown[], (point, index) => {
    const property = `persistence.savePoints[${index}]`;
    const before = problems.list.length;
    const { seconds, changes, ...others } = readObject(problems, property, point ?? null);
    refuseUnknownKeys(problems, `${property}.`, others, ["seconds", "changes"]);
    const read = (key: string, number: unknown): number => {
      const rule = { least: 1, use: "use 1 or more" };
      return readInteger(problems, `${property}.${key}`, number ?? null, 1, rule);
    };
    // A point that is no object was reported as such; its missing members would only repeat that.
    return problems.list.length > before
      ? { seconds: 1, changes: 1 }
      : { seconds: read("seconds", seconds), changes: read("changes", changes) };
  });
}

export interface Memory {
  readonly maxmemoryBytes: number;
  readonly maxmemoryPolicy: string;
}

/** Less is a forgotten unit: an empty server takes more than this for itself. */
const LEAST_MAXMEMORY = 1024 ** 2;

export function checkMemory(
  problems: Problems,
  args: RedisClusterArgs,
  mode: string,
  platformBytes: number | undefined,
): Memory {
  const maxmemoryPolicy = readWord(
    problems,
    "maxmemoryPolicy",
    args.maxmemoryPolicy,
    DEFAULTS.maxmemoryPolicy,
    MAXMEMORY_POLICIES,
  );
  const declaredNode = readSize(problems, "nodeMemory", args.nodeMemory);
  if (declaredNode !== undefined && platformBytes !== undefined && declaredNode > platformBytes) {
    problems.error(
      "nodeMemory",
      `${args.nodeMemory} is more than the ${describeSize(platformBytes)} that the machine has; use ${formatSize(platformBytes)} or less`,
    );
  }
  const nodeBytes = declaredNode ?? platformBytes;
  const given = readSize(problems, "maxmemory", args.maxmemory);
  const computed = nodeBytes === undefined ? 0 : maxmemoryFor(nodeBytes, mode);
  if (nodeBytes !== undefined && computed === 0)
    problems.error("nodeMemory", `${describeSize(nodeBytes)} is too little for any data; use 64mb or more`);
  const maxmemoryBytes = given ?? computed;

  if (given !== undefined && given > 0 && given < LEAST_MAXMEMORY) {
    problems.error(
      "maxmemory",
      `${show(args.maxmemory)} is ${given} bytes, less than an empty server takes; was a unit forgotten (${given}mb)?`,
    );
  } else if (given !== undefined && nodeBytes !== undefined && given > nodeBytes) {
    problems.error(
      "maxmemory",
      `${args.maxmemory} is more than the node's memory of ${describeSize(nodeBytes)}; use ${formatSize(computed)} or less, or leave it out to have it computed`,
    );
  } else if (given !== undefined && given > computed && computed > 0) {
    problems.warn(
      "maxmemory",
      `${args.maxmemory} leaves too little of the node's ${describeSize(nodeBytes ?? 0)} for replication buffers and forks; use ${formatSize(computed)} or less`,
    );
  } else if (given === 0 && nodeBytes !== undefined) {
    problems.warn(
      "maxmemory",
      `0 is no limit: the system may kill a server that outgrows the node's ${describeSize(nodeBytes)}; leave it out to have ${formatSize(computed)} computed`,
    );
  }
  const unlimited = args.maxmemory === undefined ? args.nodeMemory === undefined : given === 0;
  if (unlimited && maxmemoryPolicy !== "noeviction" && nodeBytes === undefined) {
    problems.warn(
      "maxmemoryPolicy",
      `"${maxmemoryPolicy}" has no effect without a limit; give maxmemory or nodeMemory`,
    );
  }
  return { maxmemoryBytes, maxmemoryPolicy };
}

function readSize(problems: Problems, property: string, value: unknown): number | undefined {
  const text = readText(problems, property, value);
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (bytes === undefined)
    problems.error(property, `${show(text)} is not a size; use ${SIZE_SYNTAX}, such as "512mb" or "10gb"`);
  return bytes;
}
