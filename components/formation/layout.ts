import type { PlannedShard, SlotRange } from "../topology/plan";
import type { FormationGoal } from "./goal";
import { type AnsweringNode, answering, type ClusterObservation, self } from "./observation";
import { expandSlots, formatRanges, slotsHeld, toRanges } from "./slots";

/** A shard as it is: who leads and who follows, by the nodes' own word. */
export interface ShardLayout {
  readonly planned: PlannedShard;
  /** The node that owns slots as a master: the shard's own, or a guest planned elsewhere that its nodes follow; or who is to take them in a new shard. None before the first assignment, or while a failover is under way. */
  readonly leader: AnsweringNode | undefined;
  /** Replicas of the leader, in the plan's order. */
  readonly replicas: readonly AnsweringNode[];
  /** Nodes of the shard that answer but neither lead nor follow its leader. */
  readonly strays: readonly AnsweringNode[];
  /** What the leader owns; the planned slots while nobody leads. */
  readonly slots: readonly SlotRange[];
}

export function layoutOf(goal: FormationGoal, observation: ClusterObservation): ShardLayout[] {
  const alive = answering(observation);
  const byName = new Map(alive.map((n) => [n.name, n]));
  const complete = claims(observation).unowned.length === 0;
  const former = superseded(observation);
  const ownersIn = (nodes: readonly AnsweringNode[]) => ownersAmong(nodes.filter((n) => !former.includes(n)));
  const own = goal.plan.shards.map((planned) => {
    const leaving = alive.filter((n) => n.leaving?.shard === planned.name);
    return { planned, nodes: [...planned.nodes.flatMap((n) => byName.get(n.name) ?? []), ...leaving] };
  });
  const guests = guestLeaders(own, undeclared(goal, alive), alive, ownersIn);
  const lent = new Set(guests.values());
  return own.map(({ planned, nodes: all }) => {
    const guest = guests.get(planned.name);
    const nodes = all.filter((n) => !lent.has(n));
    const leader = guest ?? ownersIn(nodes)[0] ?? (complete ? newLeader(nodes) : undefined);
    const replicas = nodes.filter(
      (n) => leader !== undefined && n !== leader && self(n).role === "replica" && self(n).masterId === leader.id,
    );
    return {
      planned,
      leader,
      replicas,
      strays: nodes.filter((n) => n !== leader && !replicas.includes(n)),
      slots: leader ? self(leader).slots : planned.slots,
    };
  });
}

/** Shards that the declaration no longer has, by the nodes of theirs that are still there. */
function undeclared(goal: FormationGoal, alive: readonly AnsweringNode[]): ShardNodes[] {
  const declared = new Set(goal.plan.shards.map((s) => s.name));
  const names = new Set(alive.flatMap((n) => (n.leaving && !declared.has(n.leaving.shard) ? [n.leaving.shard] : [])));
  return [...names].map((name) => ({ planned: { name }, nodes: alive.filter((n) => n.leaving?.shard === name) }));
}

interface ShardNodes {
  readonly planned: Pick<PlannedShard, "name">;
  readonly nodes: readonly AnsweringNode[];
}

/** A former leader that is just back may claim its slots still: the later election has the higher epoch. */
function ownersAmong(nodes: readonly AnsweringNode[]): AnsweringNode[] {
  return nodes
    .filter((n) => self(n).role === "master" && self(n).slots.length > 0)
    .sort((a, b) => self(b).configEpoch - self(a).configEpoch);
}

/**
 * Masters all of whose slots others claim by a later election, which is whom servers believe: a node that came back without its
 * nodes.conf and claims what it has keys of, or that has not heard of its successor.
 */
export function superseded(observation: ClusterObservation): AnsweringNode[] {
  const { contested } = claims(observation);
  if (contested.length === 0) return [];
  const masters = answering(observation).filter((n) => self(n).role === "master" && self(n).slots.length > 0);
  const latest = new Map<number, number>();
  for (const { slots, configEpoch } of masters.map(self))
    for (const slot of expandSlots(slots)) latest.set(slot, Math.max(configEpoch, latest.get(slot) ?? 0));
  return masters.filter((n) =>
    expandSlots(self(n).slots).every((slot) => (latest.get(slot) ?? 0) > self(n).configEpoch),
  );
}

/**
 * Shards that are led by a node planned in another shard: somebody had it follow their leader, and it was elected. Such a shard
 * has no owner among its own nodes, which follow the guest; and the guest's own shard has an owner without it, a guest of its
 * own maybe, or is not wanted any more. By shard name; among them shards that are no longer declared, whose guest is no leader of
 * its own shard, whatever its epoch: it is drained.
 */
function guestLeaders(
  declared: readonly ShardNodes[],
  undeclared: readonly ShardNodes[],
  alive: readonly AnsweringNode[],
  ownersIn: (nodes: readonly AnsweringNode[]) => AnsweringNode[],
): Map<string, AnsweringNode> {
  const guests = new Map<string, AnsweringNode>();
  const shards = [...declared, ...undeclared];
  const orphaned = shards.filter(({ nodes }) => nodes.length > 0 && ownersIn(nodes).length === 0);
  if (orphaned.length === 0) return guests;
  const owners = ownersIn(alive);
  const homes = new Map(shards.map((shard) => [shard, ownersIn(shard.nodes)]));

  const findGuest = (shard: ShardNodes, asked: Set<AnsweringNode>): boolean => {
    for (const guest of owners.filter((n) => shard.nodes.some((own) => self(own).masterId === n.id))) {
      if (asked.has(guest)) continue;
      asked.add(guest);
      if (!isLent(guest, shard, asked)) continue;
      guests.set(shard.planned.name, guest);
      return true;
    }
    return false;
  };
  const isLent = (guest: AnsweringNode, to: ShardNodes, asked: Set<AnsweringNode>): boolean => {
    const home = shards.find((shard) => homes.get(shard)?.includes(guest));
    if (!home) return true;
    const others = homes.get(home)?.filter((n) => n !== guest) ?? [];
    const spared = others.length > 0 || (declared.includes(to) && undeclared.includes(home)) || findGuest(home, asked);
    if (spared) homes.set(home, others);
    return spared;
  };
  for (const shard of orphaned) findGuest(shard, new Set());
  return guests;
}

/**
 * While all slots have owners elsewhere, a shard that comes new is led by the node planned for it, once that has joined. In
 * one that was drained and is wanted again after a failover, that node is a replica, and its master leads.
 */
function newLeader(nodes: readonly AnsweringNode[]): AnsweringNode | undefined {
  const mayLead = (n: AnsweringNode) => !n.leaving && self(n).role === "master" && n.view.length > 1;
  const [first] = nodes;
  if (!first || first.leaving) return undefined;
  return self(first).role === "master"
    ? [first].find(mayLead)
    : nodes.filter(mayLead).find((n) => n.id === self(first).masterId);
}

/** Zone of every node, by node name. */
export function zonesOf(goal: FormationGoal, observation?: ClusterObservation): Map<string, string> {
  const leaving = observation?.nodes.flatMap((n) => (n.leaving ? [[n.name, n.leaving.zone] as const] : [])) ?? [];
  return new Map([...leaving, ...goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, n.zone] as const))]);
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
  const masters = answering(observation).filter((node) => self(node).role === "master");
  const owned = masters.map((node) => self(node).slots);
  return { unowned: slotsHeld(owned, (n) => n === 0), contested: slotsHeld(owned, (n) => n > 1) };
}

/**
 * One node's picture of members, roles and slot owners as text, to compare pictures. Handshakes are not members yet.
 * Servers print the shortest list of ranges, ascending, so equal slots are equal text. `without` leaves slots out, `ignored` nodes.
 */
export function viewSignature(
  node: AnsweringNode,
  without?: ReadonlySet<number>,
  ignored?: ReadonlySet<string>,
): string {
  const slotsOf = (slots: readonly SlotRange[]) =>
    without === undefined || without.size === 0 ? slots : toRanges(expandSlots(slots).filter((s) => !without.has(s)));
  return node.view
    .filter((e) => !e.handshake && !ignored?.has(e.id))
    .map((e) => `${e.id} ${e.role} ${e.masterId ?? "-"} ${formatRanges(slotsOf(e.slots))}`)
    .sort()
    .join("\n");
}
