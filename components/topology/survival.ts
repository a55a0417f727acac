import type { ClusterSpec } from "../spec/spec";
import type { PlannedShard, Survival, Verdict } from "./plan";

export type SurvivalSettings = Pick<ClusterSpec, "minReplicasToWrite" | "requireFullCoverage" | "allowReadsWhenDown">;

/**
 * What the planned placement survives, with its first nodes leading; failovers may have moved leadership since.
 * A verdict is for the worst single loss, after the failover had its time: "survives" means every key, not most keys.
 */
export function judge(shards: readonly PlannedShard[], zones: readonly string[], settings: SurvivalSettings): Survival {
  // One node's loss shows in its own shard alone, and hits the shard with the fewest nodes hardest: its leader or another.
  const [smallest] = [...shards].sort((a, b) => a.nodes.length - b.nodes.length);
  const names = (smallest?.nodes ?? []).slice(0, 2).map(({ name }) => name);
  const inZone = (zone: string): Set<string> =>
    new Set(shards.flatMap(({ nodes }) => nodes.filter((node) => node.zone === zone).map(({ name }) => name)));
  return {
    oneNode: worst(
      names.map((name) => afterLosing(shards, new Set([name]), `node ${name}`, settings)),
      "node",
      shards,
    ),
    oneZone: worst(
      zones.map((zone) => afterLosing(shards, inZone(zone), `zone ${zone}`, settings)),
      "zone",
      shards,
    ),
  };
}

interface Outcome {
  readonly reads: boolean;
  readonly writes: boolean;
  /** Why not both; empty where both hold. */
  readonly because: string;
}

/** The state of the cluster once `lost` is gone for good and everything that can fail over has done so. */
function afterLosing(
  shards: readonly PlannedShard[],
  lost: ReadonlySet<string>,
  what: string,
  settings: SurvivalSettings,
): Outcome {
  const left = shards.map(({ nodes }) => nodes.filter(({ name }) => !lost.has(name)).length);
  const mastersLost = shards.filter(({ nodes }) => lost.has(nodes[0]?.name ?? "")).length;
  // Failing over takes the votes of more than half of all masters that own slots, the lost ones counted.
  const majority = Math.floor(shards.length / 2) + 1;
  const hasMajority = shards.length - mastersLost >= majority;
  const gone = shards.filter((_, index) => left[index] === 0);
  const short = shards.filter(
    (_, index) =>
      (left[index] ?? 0) < (shards[index]?.nodes.length ?? 0) && (left[index] ?? 0) - 1 < settings.minReplicasToWrite,
  );

  if (gone.length === shards.length) return { reads: false, writes: false, because: `${what} holds all nodes` };
  if (gone.length > 0) {
    const first = gone[0]?.name ?? "";
    const others = gone.length > 1 ? ` and of ${gone.length - 1} more` : "";
    const rest = settings.requireFullCoverage
      ? "and requireFullCoverage makes the other shards refuse as well"
      : hasMajority
        ? "the other shards go on"
        : "and the other shards are left without a majority";
    return {
      reads: false,
      writes: false,
      because: `${what} holds every copy of the slots of ${first}${others}; ${rest}`,
    };
  }
  if (!hasMajority) {
    const reads = settings.allowReadsWhenDown;
    return {
      reads,
      writes: false,
      because:
        `${what} holds ${mastersLost} of ${shards.length} masters, so the rest has no majority: nothing fails over and writes stop` +
        (reads
          ? "; reads go on from the copies that are left (allowReadsWhenDown)"
          : ", and reads too, without allowReadsWhenDown"),
    };
  }
  if (short.length > 0) {
    const replicas = Math.max(...short.map((shard) => shard.nodes.filter(({ name }) => !lost.has(name)).length - 1));
    return {
      reads: true,
      writes: false,
      because:
        `without ${what} ${subject(short)} ${replicas === 0 ? "no replica" : count(replicas, "replica")} left, ` +
        `and minReplicasToWrite: ${settings.minReplicasToWrite} makes it refuse writes`,
    };
  }
  return { reads: true, writes: true, because: "" };
}

function subject(shards: readonly PlannedShard[]): string {
  const [first, ...others] = shards;
  return others.length === 0 ? `${first?.name} has` : `${first?.name} (and ${others.length} more) has`;
}

/** The verdict of the worst case; among equals the first, so that the reason is the same at every run. */
function worst(outcomes: readonly Outcome[], kind: "node" | "zone", shards: readonly PlannedShard[]): Verdict {
  const badness = ({ reads, writes }: Outcome): number => (writes ? 0 : 1) + (reads ? 0 : 2);
  const [first, ...others] = outcomes;
  if (!first) return { reads: false, writes: false, reason: "there are no nodes" };
  const bad = others.reduce((a, b) => (badness(b) > badness(a) ? b : a), first);
  if (bad.because) return { reads: bad.reads, writes: bad.writes, reason: bad.because };
  return { reads: true, writes: true, reason: whySurvived(kind, shards) };
}

function whySurvived(kind: "node" | "zone", shards: readonly PlannedShard[]): string {
  if (kind === "node")
    return `a replica takes over, voted for by the other ${shards.length - 1} of ${shards.length} masters`;
  const inOneZone = new Map<string, number>();
  for (const { nodes } of shards) {
    const zone = nodes[0]?.zone ?? "";
    inOneZone.set(zone, (inOneZone.get(zone) ?? 0) + 1);
  }
  const most = Math.max(...inOneZone.values());
  return `every shard has a copy in another zone, and at least ${shards.length - most} of ${shards.length} masters are left to vote`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
