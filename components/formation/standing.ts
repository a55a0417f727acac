import type { SlotRange } from "../topology/plan";
import type { FormationGoal, History } from "./goal";
import { claims } from "./layout";
import { type AnsweringNode, answering, type ClusterObservation, isBlank, self } from "./observation";
import { expandSlots, rangesWhere, sameRanges, tally, toRanges } from "./slots";

/** Where in its life the cluster stands, derived from what is observed and from the durable member list. */
export interface Standing {
  /** It was verified once: from then on nothing is assigned, merged or sped up as if it were new. */
  readonly formed: boolean;
  /** No answering node holds a key. */
  readonly keyless: boolean;
  /** Groups of nodes that know each other. */
  readonly components: readonly (readonly AnsweringNode[])[];
  /** The only component with slots is not one that formation of this plan can have made. */
  readonly mainIsOdd: boolean;
  /** Slots that no view gives to anybody. */
  readonly free: readonly SlotRange[];
  /** In a formed cluster: slots that nobody claims and nobody could take over. */
  readonly lost: readonly SlotRange[];
}

export function standingOf(goal: FormationGoal, history: History, observation: ClusterObservation): Standing {
  const alive = answering(observation);
  const components = componentsOf(alive);
  const owning = components.filter((c) => c.some((n) => self(n).slots.length > 0));
  const { unowned } = claims(observation);
  const free = freeInEveryView(alive);
  const everyoneJoined = owning.length === 1 && owning[0]?.length === alive.length;
  const complete = unowned.length === 0;
  // A create that was interrupted after its last step left a whole cluster of exactly these nodes: it is taken as formed.
  const formed = history.verified || (everyoneJoined && complete);
  return {
    formed,
    keyless: alive.every((n) => n.keys === 0),
    components,
    mainIsOdd: owning.length === 1 && !everyoneJoined && differingSlots(goal, alive).length > 0,
    free,
    lost: formed ? orphaned(alive, unowned) : [],
  };
}

/** Nodes that own slots other than the ones planned for them: not the work of an interrupted formation of this plan. */
export function differingSlots(goal: FormationGoal, alive: readonly AnsweringNode[]): AnsweringNode[] {
  const planned = new Map(goal.plan.shards.map((s) => [s.nodes[0]?.name, s.slots]));
  return alive.filter(
    (n) =>
      self(n).role === "master" && self(n).slots.length > 0 && !sameRanges(self(n).slots, planned.get(n.name) ?? []),
  );
}

function componentsOf(alive: readonly AnsweringNode[]): AnsweringNode[][] {
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

export function knows(node: AnsweringNode, other: AnsweringNode): boolean {
  return node.view.some((e) => e.id === other.id && !e.handshake);
}

function freeInEveryView(alive: readonly AnsweringNode[]): SlotRange[] {
  const taken = tally(alive.flatMap((n) => n.view.map((e) => e.slots)));
  return rangesWhere(taken, (count) => count === 0);
}

/** Unclaimed slots whose last known owner has no replica left that could take over. */
function orphaned(alive: readonly AnsweringNode[], unowned: readonly SlotRange[]): SlotRange[] {
  const open = new Set(expandSlots(unowned));
  if (open.size === 0) return [];
  for (const node of alive) {
    for (const entry of node.view) {
      const hasReplica = alive.some((r) => !isBlank(r) && self(r).role === "replica" && self(r).masterId === entry.id);
      if (hasReplica) for (const slot of expandSlots(entry.slots)) open.delete(slot);
    }
  }
  return toRanges(open);
}
