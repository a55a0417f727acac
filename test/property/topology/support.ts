import type { PlannedShard, TopologyPlan } from "../../../components/topology/plan";

/** Fixed, so that a failure repeats; FC_SEED tries another one. */
export const seed = Number(process.env.FC_SEED ?? 20240607);

/** Largest and smallest count of a thing over the zones, and their difference. */
export function spread(
  zones: readonly string[],
  where: readonly string[],
): { most: number; least: number; width: number } {
  const counts = new Map(zones.map((zone) => [zone, 0]));
  for (const zone of where) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  const [most, least] = [Math.max(...counts.values()), Math.min(...counts.values())];
  return { most, least, width: most - least };
}

export const masterZones = ({ shards }: TopologyPlan): string[] => shards.map(({ nodes }) => nodes[0]?.zone ?? "");
export const nodeZones = ({ shards }: TopologyPlan): string[] =>
  shards.flatMap(({ nodes }) => nodes.map(({ zone }) => zone));
export const shardZones = ({ nodes }: PlannedShard): string[] => nodes.map(({ zone }) => zone);
