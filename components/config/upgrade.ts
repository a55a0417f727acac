import type { Engine } from "../spec/spec";

/**
 * The newest RDB format that each version reads and writes. A server refuses a newer one, so that a replica or a restarted
 * node could not load what a master of the later version has written. Source: RDB_VERSION in rdb.h of each release.
 */
const RDB_FORMATS: Readonly<Record<Engine["name"], readonly (readonly [version: string, format: number])[]>> = {
  redis: [
    ["7.0", 10],
    ["7.2", 11],
    ["7.4", 12],
  ],
  valkey: [
    ["7.2", 11],
    ["9.0", 80],
  ],
};

/**
 * Why nodes cannot be changed from one engine to another in place, or undefined where they can.
 * @returns one sentence: what it got, why not, what to do
 */
export function upgradeProblem(from: Engine, to: Engine): string | undefined {
  const [written, readable] = [rdbFormat(from), rdbFormat(to)];
  // Valkey took 80 to leave 12 to 79 to Redis, and refuses those as foreign.
  const foreign = to.name === "valkey" && written >= 12 && written < 80;
  if (written <= readable && !foreign) return undefined;
  const [was, is] = [`${from.name} ${from.version}`, `${to.name} ${to.version}`];
  return (
    `${is} cannot load what ${was} has written (RDB format ${written}, it reads ${foreign ? "only up to 11 and its own from 80 on" : `up to ${readable}`}), so its replicas and restarted nodes would stay empty; ` +
    `keep ${was} or a later version, or make a new cluster of ${is} and copy the keys over`
  );
}

function rdbFormat({ name, version }: Engine): number {
  return (
    RDB_FORMATS[name].findLast(([since]) => compareVersions(since, version) <= 0)?.[1] ?? RDB_FORMATS[name][0]?.[1] ?? 0
  );
}

/** Below, at or above 0 as `a` is before, the same as or after `b`; by numbers, missing ones count as 0. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((v) => v.split(".").map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (x?.[i] ?? 0) - (y?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
