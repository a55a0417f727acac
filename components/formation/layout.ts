import type { PlannedShard, SlotRange } from "../topology/plan";
import type { FormationGoal } from "./goal";
import { type AnsweringNode, type ClusterObservation, answering, self } from "./observation";
import { SLOT_COUNT, expandSlots, toRanges } from "./slots";

/** A shard as it is: who leads and who follows, by the nodes' own word. */
export interface ShardLayout {
  readonly planned: PlannedShard;
  /** The shard's node that owns slots as a master; none before slots are assigned, or while a failover is under way. */
  readonly leader: AnsweringNode | undefined;
  /** Replicas of the leader, in the plan's order. */
  readonly replicas: readonly AnsweringNode[];
  /** Nodes of the shard that answer but neither lead nor follow its leader. */
  readonly strays: readonly AnsweringNode[];
  /** What the leader owns; the planned slots while nobody leads. */
  readonly slots: readonly SlotRange[];
}

export function layoutOf(goal: FormationGoal, observation: ClusterObservation): ShardLayout[] {
  const byName = new Map(answering(observation).map((n) => [n.name, n]));
  return goal.plan.shards.map((planned) => {
    const nodes = planned.nodes.flatMap((n) => byName.get(n.name) ?? []);
    const leader = nodes.find((n) => self(n).role === "master" && self(n).slots.length > 0);
    const replicas = nodes.filter((n) => leader !== undefined && n !== leader && self(n).role === "replica" && self(n).masterId === leader.id);
    return {
      planned,
      leader,
      replicas,
      strays: nodes.filter((n) => n !== leader && !replicas.includes(n)),
      slots: leader ? self(leader).slots : planned.slots,
    };
  });
}

/** Zone of every node of the plan, by node name. */
export function zonesOf(goal: FormationGoal): Map<string, string> {
  return new Map(goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, n.zone] as const)));
}

/** Zones that hold half of the leaders or more, with how many. */
export function crowdedZones(goal: FormationGoal, layout: readonly ShardLayout[]): { zone: string; leaders: number }[] {
  const zones = zonesOf(goal);
  const counts = new Map<string, number>();
  for (const { leader } of layout) {
    const zone = leader && zones.get(leader.name);
    if (zone !== undefined) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, leaders]) => leaders * 2 >= goal.plan.shards.length)
    .map(([zone, leaders]) => ({ zone, leaders }))
    .sort((a, b) => (a.zone < b.zone ? -1 : 1));
}

/** Slots that no node claims for itself, and slots that two or more claim. */
export function claims(observation: ClusterObservation): { unowned: SlotRange[]; contested: SlotRange[] } {
  const owners = new Uint16Array(SLOT_COUNT);
  for (const node of answering(observation)) {
    const own = self(node);
    if (own.role !== "master") continue;
    for (const slot of expandSlots(own.slots)) owners[slot] = (owners[slot] ?? 0) + 1;
  }
  const where = (test: (count: number) => boolean) => toRanges([...owners.keys()].filter((slot) => test(owners[slot] ?? 0)));
  return { unowned: where((n) => n === 0), contested: where((n) => n > 1) };
}

/** One node's picture of members, roles and slot owners as text, to compare pictures. Handshakes are not members yet. */
export function viewSignature(node: AnsweringNode): string {
  return node.view
    .filter((e) => !e.handshake)
    .map((e) => `${e.id} ${e.role} ${e.masterId ?? "-"} ${toRanges(expandSlots(e.slots)).map((r) => `${r.start}-${r.end}`).join(",")}`)
    .sort()
    .join("\n");
}
