import type { RedisClusterArgs, RollingArgs } from "./args";
import { DEFAULTS } from "./defaults";
import { NODES_PER_SHARD } from "./ordinals";
import { type Problems, readInteger, readObject, refuseUnknownKeys, show } from "./reader";

/** Absent is what was given wrong; it was reported, and nothing that depends on it can be said. */
export interface Shape {
  readonly masters: number | undefined;
  readonly replicasPerMaster: number | undefined;
  /** Sorted. */
  readonly zones: readonly string[] | undefined;
}

export interface ShapeFacts {
  readonly zones: readonly string[];
  readonly zonesProperty: string;
  /** How many numbers nodes can have, where that is bounded: see `PlatformFacts`. */
  readonly ordinals: number | undefined;
}

/** Redis's own documents give about a thousand nodes as the most a cluster's gossip carries. */
const MOST_NODES = 1000;
const MANY_NODES = 200;
/** A host name's label; node names become host names, file names and client names. */
const LONGEST_NODE_NAME = 63;
const LONGEST_NAME = 40;

/** How many of what goes where, and the warnings about what such a shape cannot survive. */
export function checkShape(problems: Problems, name: string, args: RedisClusterArgs, facts: ShapeFacts): Shape {
  const { zonesProperty } = facts;
  checkName(problems, name);
  const masters = checkMasters(problems, args.masters, facts);
  const replicasPerMaster = checkReplicas(problems, args.replicasPerMaster, facts);
  const zones = checkZones(problems, facts.zones, zonesProperty);
  const shape = { masters, replicasPerMaster, zones };
  warnAboutMasters(problems, shape);
  warnAboutZones(problems, shape, zonesProperty);
  checkCounts(problems, shape);
  if (problems.isSound("name")) checkNodeNames(problems, name, shape);
  checkTwinNames(problems, shape, zonesProperty);
  return shape;
}

function checkMasters(problems: Problems, value: unknown, { ordinals }: ShapeFacts): number | undefined {
  const room = ordinals === undefined ? MOST_NODES : Math.floor(ordinals / NODES_PER_SHARD);
  const masters = readInteger(problems, "masters", value, DEFAULTS.masters, {
    least: 3,
    low: "too few for a cluster",
    use: "use 3 or more (odd)",
    most: Math.min(MOST_NODES, room),
    useLess:
      room < MOST_NODES
        ? `use ${room} or less, since a cluster has ${ordinals} ports here, ${NODES_PER_SHARD} for each shard`
        : `use ${MOST_NODES} or less`,
  });
  return problems.isSound("masters") ? masters : undefined;
}

function checkReplicas(problems: Problems, value: unknown, { ordinals }: ShapeFacts): number | undefined {
  const numbered = ordinals !== undefined;
  const most = numbered ? NODES_PER_SHARD - 1 : MOST_NODES;
  const replicas = readInteger(problems, "replicasPerMaster", value, DEFAULTS.replicasPerMaster, {
    least: 0,
    use: "use 0 or more (1 or 2 are usual)",
    most,
    useLess: `use ${most} or less${numbered ? `, since a shard has ${NODES_PER_SHARD} ports here, its master's among them` : ""}`,
  });
  return problems.isSound("replicasPerMaster") ? replicas : undefined;
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

function checkZones(problems: Problems, zones: readonly string[], property: string): string[] | undefined {
  if (!Array.isArray(zones)) {
    problems.error(property, `got ${show(zones)}; must be a list of zone names`);
    return undefined;
  }
  if (zones.length === 0) problems.error(property, "none given; name at least one, better three");
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
  return problems.isSound(property) ? [...zones].sort() : undefined;
}

function warnAboutMasters(problems: Problems, { masters, zones }: Shape): void {
  if (masters === undefined) return;
  const among = zones?.length ?? 0;
  const inOneZone = Math.ceil(masters / among);
  const odd = `use ${masters - 1} or ${masters + 1}`;
  const crowded = among > 2 && inOneZone * 2 >= masters;
  if (crowded) {
    problems.warn(
      "masters",
      `${masters} on ${among} zones puts ${inOneZone} of them in one zone, half of all: its loss leaves no majority, so nothing fails over; ${odd}`,
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
  if (zones?.length === 1)
    problems.warn(property, `only one ("${zones[0]}"): its loss takes the whole cluster; use three`);
  if (zones?.length === 2) {
    problems.warn(
      property,
      "two: one of them always holds half of the masters or more, and its loss leaves no majority, so nothing fails over; use three",
    );
  }
  if (replicasPerMaster === undefined) return;
  if (replicasPerMaster === 0) {
    problems.warn(
      "replicasPerMaster",
      "0: the loss of any one node loses its slots and the data in them; use 1 or more",
    );
  }
  const nodes = replicasPerMaster + 1;
  if (zones !== undefined && zones.length > 1 && nodes > zones.length) {
    problems.warn(
      "replicasPerMaster",
      `${replicasPerMaster} and the master are ${nodes} nodes, but there are ${zones.length} zones: some share a zone and are lost together; use ${zones.length - 1} or less, or more zones`,
    );
  }
}

function checkCounts(problems: Problems, { masters, replicasPerMaster, zones }: Shape): void {
  if (masters === undefined || replicasPerMaster === undefined) return;
  const nodes = masters * (replicasPerMaster + 1);
  const sum = `${describeShape(masters, replicasPerMaster)} are ${nodes} nodes`;
  if (nodes > MOST_NODES)
    problems.error("masters", `${sum}; a cluster carries ${MOST_NODES} at most: use fewer, larger nodes`);
  else if (nodes > MANY_NODES)
    problems.warn(
      "masters",
      `${sum}: gossip and failover slow down beyond about ${MANY_NODES}; consider fewer, larger nodes`,
    );
  if (zones !== undefined && nodes < zones.length)
    problems.warn("masters", `${sum} for ${zones.length} zones: some zones stay empty`);
}

/** `3 masters with 1 replica each` */
export function describeShape(masters: number, replicasPerMaster: number): string {
  return `${masters} masters with ${replicasPerMaster} ${replicasPerMaster === 1 ? "replica" : "replicas"} each`;
}

/** A node of each of these shards may be down at once, at worst a master: what is left has to be a majority. */
export function checkRolling(problems: Problems, value: unknown, masters: number | undefined): number {
  const given: { [K in keyof RollingArgs]: unknown } = readObject(problems, "rolling", value);
  refuseUnknownKeys(problems, "rolling.", given, ["shardsAtOnce"]);
  const rule = { least: 1, use: "use 1 (one shard after the other) or more" };
  const most = masters === undefined ? undefined : Math.floor((masters - 1) / 2);
  return readInteger(
    problems,
    "rolling.shardsAtOnce",
    given.shardsAtOnce,
    DEFAULTS.shardsAtOnce,
    masters === undefined || most === undefined
      ? rule
      : {
          ...rule,
          most,
          useLess: `with ${masters} masters use ${most} or less, so that a majority of ${Math.floor(masters / 2) + 1} runs at every moment`,
        },
  );
}

function checkNodeNames(problems: Problems, name: string, { masters, replicasPerMaster, zones }: Shape): void {
  if (masters === undefined || replicasPerMaster === undefined || zones === undefined) return;
  const second = nodesInOneZone(replicasPerMaster, zones);
  const suffix = second > 1 ? `-${second}` : "";
  const longest = zones.reduce((a, b) => (b.length > a.length ? b : a), "");
  const nodeName = `${name}-${masters - 1}-${longest}${suffix}`;
  if (nodeName.length > LONGEST_NODE_NAME) {
    problems.error(
      "name",
      `makes node names like "${nodeName}" of ${nodeName.length} characters; a host name's label has ${LONGEST_NODE_NAME} at most: use a shorter name or shorter zone names`,
    );
  }
}

/** "a" with a second node in it, and a zone "a-2", would give two nodes one name. */
function checkTwinNames(problems: Problems, { replicasPerMaster, zones }: Shape, property: string): void {
  if (replicasPerMaster === undefined || zones === undefined) return;
  const second = nodesInOneZone(replicasPerMaster, zones);
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

/** How many nodes of a shard one zone holds at the most. */
function nodesInOneZone(replicasPerMaster: number, zones: readonly string[]): number {
  return Math.ceil((replicasPerMaster + 1) / zones.length);
}
