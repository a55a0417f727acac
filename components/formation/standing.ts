import type { SlotRange } from "../topology/plan";
import { staleMembers } from "./assess";
import type { FormationGoal, History } from "./goal";
import { claims } from "./layout";
import { type AnsweringNode, answering, type ClusterObservation, isBlank, self } from "./observation";
import { namedOwners } from "./reclaim";
import { expandSlots, sameRanges, slotsHeld, toRanges } from "./slots";

/** Where in its life the cluster stands, derived from what is observed and from the durable member list. */
export interface Standing {
  /** It was verified once: from then on nothing is assigned, merged or sped up as if it were new. */
  readonly formed: boolean;
  /** No answering node holds a key. */
  readonly keyless: boolean;
  /** Groups of nodes that know each other. */
  readonly components: readonly (readonly AnsweringNode[])[];
  /** These nodes are one whole cluster already, shaped otherwise than planned, and no run of ours has recorded it. */
  readonly otherLayout: boolean;
  /** The only component with slots is not one that formation of this plan can have made. */
  readonly mainIsOdd: boolean;
  /** Slots that no view gives to anybody. */
  readonly free: readonly SlotRange[];
  /** In a formed cluster: slots that nobody claims and nobody could take over. */
  readonly lost: readonly SlotRange[];
  /** Every node answers, and by the IDs that members had: none of them is lost. */
  readonly nobodyGone: boolean;
}

const FEWEST_MASTERS = 3;

export function standingOf(goal: FormationGoal, history: History, observation: ClusterObservation): Standing {
  const alive = answering(observation);
  const components = componentsOf(alive);
  const owning = components.filter((c) => c.some((n) => self(n).slots.length > 0));
  const { unowned } = claims(observation);
  const free = freeInEveryView(alive);
  const everyoneJoined = owning.length === 1 && owning[0]?.length === alive.length;
  const whole = owning.length === 1 && unowned.length === 0 ? (owning[0] ?? []) : [];
  const formed = history.verified || (whole.length > 0 && (recorded(history, whole) || asPlanned(goal, whole, alive)));
  // A silent node may hold what nobody else does: nothing is called lost before everybody has answered.
  const everyoneAnswers = observation.nodes.every((n) => n.answering);
  const nobodyGone = everyoneAnswers && staleMembers(history.members, alive).length === 0;
  return {
    formed,
    keyless: alive.every((n) => n.keys === 0),
    components,
    mainIsOdd: owning.length === 1 && !everyoneJoined && differingSlots(goal, alive).length > 0,
    otherLayout: !formed && everyoneJoined && whole.length > 0,
    free,
    nobodyGone,
    lost: formed && everyoneAnswers ? orphaned(observation, unowned, nobodyGone) : [],
  };
}

/** Every node of this whole cluster was seen by an earlier run, which did not get as far as verifying it. */
function recorded(history: History, whole: readonly AnsweringNode[]): boolean {
  const ours = new Set((history.recorded ?? history.members).filter((m) => m.state === "member").map((m) => m.id));
  return whole.every((n) => ours.has(n.id));
}

/**
 * A whole cluster that nobody recorded: a create that was killed after its last step, or data that were kept when a
 * cluster was destroyed. It is ours if it is shaped as planned: shards are led and followed by their own nodes, whichever
 * of them leads and whichever slots it owns; a shard that comes new is blank as yet.
 */
function asPlanned(goal: FormationGoal, whole: readonly AnsweringNode[], alive: readonly AnsweringNode[]): boolean {
  let led = 0;
  for (const { nodes } of goal.plan.shards) {
    const own = nodes.flatMap((n) => alive.find((a) => a.name === n.name) ?? []);
    const owners = own.filter((n) => self(n).role === "master" && self(n).slots.length > 0);
    if (owners.length === 0 && own.every(isBlank)) continue;
    const [leader] = owners;
    if (owners.length !== 1 || !leader) return false;
    const follows = (n: AnsweringNode) =>
      n === leader || (self(n).role === "replica" ? self(n).masterId === leader.id : n.keys === 0);
    if (!own.every(follows)) return false;
    led++;
  }
  // No cluster of ours has less than three masters; one or two are somebody's servers that happen to own all slots.
  return led >= FEWEST_MASTERS && whole.every((n) => n.leaving === undefined);
}

/**
 * Nodes that own slots other than the ones planned for their shard: not the work of an interrupted formation of this plan.
 * Which node of the shard leads may have changed meanwhile.
 */
export function differingSlots(goal: FormationGoal, alive: readonly AnsweringNode[]): AnsweringNode[] {
  const planned = new Map(goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, s.slots] as const)));
  return alive.filter(
    (n) =>
      self(n).role === "master" && self(n).slots.length > 0 && !sameRanges(self(n).slots, planned.get(n.name) ?? []),
  );
}

export function componentsOf(alive: readonly AnsweringNode[]): AnsweringNode[][] {
  const left = new Set(alive);
  const components: AnsweringNode[][] = [];
  for (const start of alive) {
    if (!left.delete(start)) continue;
    const component = [start];
    for (const node of component) {
      for (const other of left) {
        if (knows(node, other) || knows(other, node)) {
          left.delete(other);
          component.push(other);
        }
      }
    }
    components.push(component);
  }
  return components;
}

/** Everybody is asked about everybody, several times a look. Observations do not change, so each is indexed once. */
const acquaintances = new WeakMap<AnsweringNode, ReadonlySet<string>>();

export function knows(node: AnsweringNode, other: AnsweringNode): boolean {
  let ids = acquaintances.get(node);
  if (!ids) {
    ids = new Set(node.view.filter((e) => !e.handshake).map((e) => e.id));
    acquaintances.set(node, ids);
  }
  return ids.has(other.id);
}

function freeInEveryView(alive: readonly AnsweringNode[]): SlotRange[] {
  return slotsHeld(
    alive.flatMap((n) => n.view.map((e) => e.slots)),
    (holders) => holders === 0,
  );
}

/** Unclaimed slots whose last known owner is not there to claim them again, and has no replica left that could take over. */
function orphaned(observation: ClusterObservation, unowned: readonly SlotRange[], nobodyGone: boolean): SlotRange[] {
  const alive = answering(observation);
  const open = new Set(expandSlots(unowned));
  if (open.size === 0) return [];
  const masters = new Set(alive.filter((n) => self(n).role === "master").map((n) => n.id));
  for (const [slot, owner] of namedOwners(observation, [...open], nobodyGone))
    if (masters.has(owner)) open.delete(slot);
  for (const node of alive) {
    for (const entry of node.view) {
      // Somebody who is not ours serves them: that is refused as such, and nothing is lost.
      const served = entry.linked && !entry.noaddr && entry.health === "ok" && !alive.some((n) => n.id === entry.id);
      const hasReplica = alive.some((r) => !isBlank(r) && self(r).role === "replica" && self(r).masterId === entry.id);
      if (hasReplica || served) for (const slot of expandSlots(entry.slots)) open.delete(slot);
    }
  }
  return toRanges(open);
}
