import type { RedisClusterArgs, RollingArgs } from "./args";
import { DEFAULTS } from "./defaults";
import { type Problems, readInteger, readObject, refuseUnknownKeys, show } from "./reader";

export interface Shape {
  readonly masters: number;
  readonly replicasPerMaster: number;
  readonly zones: readonly string[];
}

/** Redis's own documents give about a thousand nodes as the most a cluster's gossip carries. */
const MOST_NODES = 1000;
const MANY_NODES = 200;
/** A host name's label; node names become host names, file names and client names. */
const LONGEST_NODE_NAME = 63;
const LONGEST_NAME = 40;

/** How many of what goes where, and the warnings about what such a shape cannot survive. */
export function checkShape(
  problems: Problems,
  name: string,
  args: RedisClusterArgs,
  zones: readonly string[],
  zonesProperty: string,
): Shape {
  const before = problems.list.length;
  checkName(problems, name);
  const masters = readInteger(problems, "masters", args.masters, DEFAULTS.masters, {
    least: 3,
    low: "too few for a cluster",
    use: "use 3 or more (odd)",
    most: MOST_NODES,
    useLess: `use ${MOST_NODES} or less`,
  });
  const replicasPerMaster = readInteger(
    problems,
    "replicasPerMaster",
    args.replicasPerMaster,
    DEFAULTS.replicasPerMaster,
    {
      least: 0,
      use: "use 0 or more (1 or 2 are usual)",
      most: MOST_NODES,
    },
  );
  checkZones(problems, zones, zonesProperty);
  const shape = { masters, replicasPerMaster, zones: namesIn(zones).sort() };
  if (problems.list.slice(before).some(({ severity }) => severity === "error")) return shape;
  warnAboutMasters(problems, shape);
  warnAboutZones(problems, shape, zonesProperty);
  checkCounts(problems, shape);
  checkNodeNames(problems, name, shape, zonesProperty);
  return shape;
}

/** What can be worked with where the rest was reported. */
function namesIn(zones: unknown): string[] {
  return Array.isArray(zones) ? zones.filter((zone) => typeof zone === "string") : [];
}

function checkName(problems: Problems, name: unknown): void {
  if (typeof name !== "string" || !/^[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$/.test(name)) {
    problems.error(
      "name",
      `${show(name)} cannot be used in host names and file names; use letters, digits and hyphens, a letter first and no hyphen last`,
    );
  } else if (name.length > LONGEST_NAME) {
    problems.error(
      "name",
      `${show(name)} has ${name.length} characters; use ${LONGEST_NAME} or less, since node names are made from it`,
    );
  }
}

function checkZones(problems: Problems, zones: readonly string[], property: string): void {
  if (!Array.isArray(zones)) {
    problems.error(property, `got ${show(zones)}; must be a list of zone names`);
    return;
  }
  if (zones.length === 0) {
    problems.error(property, "none given; name at least one, better three");
    return;
  }
  const seen = new Map<string, string>();
  for (const zone of zones as readonly unknown[]) {
    if (typeof zone !== "string" || !/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/.test(zone)) {
      problems.error(
        property,
        `${show(zone)} cannot be used in host names and file names; use letters, digits and hyphens, no hyphen first or last`,
      );
      continue;
    }
    // Host names, and file names on macOS, do not tell case apart.
    const same = seen.get(zone.toLowerCase());
    if (same !== undefined)
      problems.error(
        property,
        `${show(zone)} is given twice${same === zone ? "" : ` (as "${same}")`}; name each zone once`,
      );
    seen.set(zone.toLowerCase(), zone);
  }
}

function warnAboutMasters(problems: Problems, { masters, zones }: Shape): void {
  const inOneZone = Math.ceil(masters / zones.length);
  const odd = `use ${masters - 1} or ${masters + 1}`;
  const crowded = zones.length > 2 && inOneZone * 2 >= masters;
  if (crowded) {
    problems.warn(
      "masters",
      `${masters} on ${zones.length} zones puts ${inOneZone} of them in one zone, half of all: its loss leaves no majority, so nothing fails over; ${odd}`,
    );
  } else if (masters % 2 === 0) {
    const majority = masters / 2 + 1;
    problems.warn(
      "masters",
      `${masters} is even: a majority is ${majority}, so it bears the loss of ${masters - majority} ${masters - majority === 1 ? "master" : "masters"} at once, no more than ${masters - 1} would, and a split in halves stops both; ${odd}`,
    );
  }
}

function warnAboutZones(problems: Problems, { replicasPerMaster, zones }: Shape, property: string): void {
  const nodes = replicasPerMaster + 1;
  if (zones.length === 1)
    problems.warn(property, `only one ("${zones[0]}"): its loss takes the whole cluster; use three`);
  if (zones.length === 2) {
    problems.warn(
      property,
      "two: one of them always holds half of the masters or more, and its loss leaves no majority, so nothing fails over; use three",
    );
  }
  if (replicasPerMaster === 0) {
    problems.warn(
      "replicasPerMaster",
      "0: the loss of any one node loses its slots and the data in them; use 1 or more",
    );
  }
  if (zones.length > 1 && nodes > zones.length) {
    problems.warn(
      "replicasPerMaster",
      `${replicasPerMaster} and the master are ${nodes} nodes, but there are ${zones.length} zones: some share a zone and are lost together; use ${zones.length - 1} or less, or more zones`,
    );
  }
}

function checkCounts(problems: Problems, { masters, replicasPerMaster, zones }: Shape): void {
  const nodes = masters * (replicasPerMaster + 1);
  const sum = `${masters} masters with ${replicasPerMaster} ${replicasPerMaster === 1 ? "replica" : "replicas"} each are ${nodes} nodes`;
  if (nodes > MOST_NODES)
    problems.error("masters", `${sum}; a cluster carries ${MOST_NODES} at most: use fewer, larger nodes`);
  else if (nodes > MANY_NODES)
    problems.warn(
      "masters",
      `${sum}: gossip and failover slow down beyond about ${MANY_NODES}; consider fewer, larger nodes`,
    );
  if (nodes < zones.length) problems.warn("masters", `${sum} for ${zones.length} zones: some zones stay empty`);
}

/** A node of each of these shards may be down at once, at worst a master: what is left has to be a majority. */
export function checkRolling(problems: Problems, value: unknown, masters: number): number {
  const given: { [K in keyof RollingArgs]: unknown } = readObject(problems, "rolling", value);
  refuseUnknownKeys(problems, "rolling.", given, ["shardsAtOnce"]);
  const most = Math.floor((masters - 1) / 2);
  return readInteger(problems, "rolling.shardsAtOnce", given.shardsAtOnce, DEFAULTS.shardsAtOnce, {
    least: 1,
    use: "use 1 (one shard after the other) or more",
    most,
    useLess: `with ${masters} masters use ${most} or less, so that a majority of ${Math.floor(masters / 2) + 1} runs at every moment`,
  });
}

function checkNodeNames(
  problems: Problems,
  name: string,
  { masters, replicasPerMaster, zones }: Shape,
  property: string,
): void {
  const second = Math.ceil((replicasPerMaster + 1) / zones.length);
  const suffix = second > 1 ? `-${second}` : "";
  const longest = zones.reduce((a, b) => (b.length > a.length ? b : a), "");
  const nodeName = `${name}-${masters - 1}-${longest}${suffix}`;
  if (nodeName.length > LONGEST_NODE_NAME) {
    problems.error(
      "name",
      `makes node names like "${nodeName}" of ${nodeName.length} characters; a host name's label has ${LONGEST_NODE_NAME} at most: use a shorter name or shorter zone names`,
    );
  }
  if (second < 2) return;
  // "a" with a second node in it, and a zone "a-2", would give two nodes one name.
  for (const zone of zones) {
    const [, stem, number] = /^(.*)-(\d+)$/.exec(zone) ?? [];
    if (stem === undefined || !zones.includes(stem) || String(Number(number)) !== number) continue;
    if (Number(number) >= 2 && Number(number) <= second) {
      problems.error(
        property,
        `"${zone}" is also the name of node ${number} of a shard in "${stem}"; rename one of the two zones`,
      );
    }
  }
}
