import type { Engine } from "../spec/spec";

interface OfVersion {
  readonly engine: Engine["name"];
  readonly version: readonly [major: number, minor: number];
}

/**
 * The table that stands for a version: the last one of its engine that is not newer than it, else the first.
 * @param tables in ascending order for each engine
 * @param what they hold, for the error
 * @returns it, the version as `major.minor`, and whether that is newer than any table
 * @throws Error where the engine has none
 */
export function tableOf<T extends OfVersion>(tables: readonly T[], engine: Engine, what: string) {
  const [major = 0, minor = 0] = engine.version.split(".").map((part) => Number.parseInt(part, 10));
  const ofEngine = tables.filter((table) => table.engine === engine.name);
  const reached = ofEngine.filter(({ version }) => version[0] < major || (version[0] === major && version[1] <= minor));
  const table = reached.at(-1) ?? ofEngine[0];
  if (!table) throw new Error(`engine ${engine.name} has no table of ${what}`);
  const exact = table.version[0] === major && table.version[1] === minor;
  return { table, version: `${major}.${minor}`, newer: reached.length === ofEngine.length && !exact };
}

/** What a server says to `--version`: `Redis server v=7.0.15 sha=…` or `Valkey server v=8.1.1 sha=…`. */
export function parseVersion(text: string): Engine | undefined {
  const match = /^(redis|valkey) server v=(\d+(?:\.\d+)+)/im.exec(text);
  if (!match?.[1] || !match[2]) return undefined;
  return { name: match[1].toLowerCase() === "valkey" ? "valkey" : "redis", version: match[2] };
}
