import { claims } from "./layout";
import { handsOverAtomically } from "./migrateWay";
import { type AnsweringNode, answering, type ClusterObservation, openSlotsOf, self } from "./observation";
import { expandSlots, toRanges } from "./slots";
import type { Step } from "./steps";

/**
 * Slots that nobody claims although the others name one master as their owner: it was promoted, or told, and its own word got
 * lost (seen on Redis 7.0 when a master fails over right after it got slots), or a person deleted them there. It is told what
 * the others hold: most masters with slots have to name it, or who follows it (below), and nobody anyone else. Who is new knows no owner yet.
 */
export function reclaimSlots(observation: ClusterObservation, isNobodyGone: boolean): Step[] {
  const { unowned } = claims(observation);
  if (unowned.length === 0) return [];
  const open = expandSlots(unowned);
  const named = namedOwners(observation, open, isNobodyGone);
  return answering(observation).flatMap((owner): Step[] => {
    const slots = toRanges(open.filter((slot) => named.get(slot) === owner.id));
    if (self(owner).role !== "master" || slots.length === 0) return [];
    return [{ do: "nameOwner", node: owner.name, slots, owner: owner.name, ownerId: owner.id }];
  });
}

/**
 * Of these slots, those whose owner most masters agree on and nobody doubts: slot → node ID. Whoever follows a master stands for it.
 *
 * The others may know no owner at all: they took the former one for it until that followed its successor, which lost them before
 * it was heard. Then only who follows it knows. That is enough where every member is there: nobody can have owned them since and be gone
 * with their data, which an owner without them would hide; and what another one may hold of them is found as stray keys.
 * Source: `clusterProcessPacket` ("Master turned into a slave") up to Redis 7.2; later ones take the former owner's slots for its successor's.
 */
export function namedOwners(
  observation: ClusterObservation,
  slots: readonly number[],
  isNobodyGone: boolean,
): Map<number, string> {
  const wanted = new Set(slots);
  const alive = answering(observation);
  const leaders = leadersOf(alive);
  // A node that imports a slot takes no news of it.
  const importing = new Map(
    alive.map((n) => [n, new Set(openSlotsOf(n).flatMap((o) => (o.direction === "importing" ? o.slot : [])))]),
  );
  const tells = (node: AnsweringNode, slot: number) => importing.get(node)?.has(slot) !== true;
  const namedBy = new Map<number, Map<string, AnsweringNode[]>>();
  for (const node of alive) {
    for (const entry of node.view) {
      // Its own word is what is missing.
      if (entry.myself) continue;
      const id = leaders.get(entry.id)?.id ?? entry.id;
      for (const slot of expandSlots(entry.slots)) {
        if (!wanted.has(slot) || !tells(node, slot)) continue;
        const named = namedBy.get(slot) ?? new Map<string, AnsweringNode[]>();
        named.set(id, [...(named.get(id) ?? []), node]);
        namedBy.set(slot, named);
      }
    }
  }
  const owners = new Map<number, string>();
  for (const [slot, named] of namedBy) {
    const [first, ...others] = named;
    if (!first || others.length > 0) continue;
    const [id, by] = first;
    // Who has lost its nodes.conf knows nobody, and has no say; nor have nodes without slots, where there are others.
    const asked = alive.filter((n) => tells(n, slot) && n.id !== id && n.view.some((e) => e.id === id));
    const masters = asked.filter((n) => self(n).role === "master" && self(n).slots.length > 0);
    const electorate = masters.length > 0 ? masters : asked;
    const agreed = electorate.filter((n) => by.includes(n)).length * 2 > electorate.length;
    const known = isNobodyGone && by.some((n) => leaders.get(n.id)?.id === id && isLinked(n));
    if (agreed || known) owners.set(slot, id);
  }
  return owners;
}

/** In sync, and stray keys of its master would be found. */
function isLinked({ replication, server }: AnsweringNode): boolean {
  return replication.linkUp && !handsOverAtomically(server);
}

/** Whom those follow that follow somebody who leads, by their own word: node ID → leader. */
function leadersOf(alive: readonly AnsweringNode[]): ReadonlyMap<string, AnsweringNode> {
  const masters = new Map(alive.filter((n) => self(n).role === "master").map((n) => [n.id, n]));
  return new Map(
    alive.flatMap((n) => {
      const leader = self(n).role === "replica" ? masters.get(self(n).masterId ?? "") : undefined;
      return leader ? [[n.id, leader]] : [];
    }),
  );
}

/**
 * Slots that a node takes for a replica's. From Redis 8 and Valkey 8 on such a view may be left behind by a failover of which the
 * former leader was heard last, where its successor had lost slots by then; and the word of the successor, which has the epoch that the replica
 * goes by, does not change it. The node is told who owns them; a replica by its master, whose word on slots it takes there.
 */
export function nameSuccessors(observation: ClusterObservation): Step[] {
  const alive = answering(observation);
  const leaders = leadersOf(alive);
  const told = new Map<AnsweringNode, Map<AnsweringNode, Set<number>>>();
  for (const node of alive) {
    const teller = leaders.get(node.id) ?? node;
    for (const entry of node.view) {
      const owner = entry.role === "replica" && !entry.myself ? leaders.get(entry.id) : undefined;
      if (!owner || entry.slots.length === 0 || self(teller).role !== "master") continue;
      const owned = new Set(expandSlots(self(owner).slots));
      const owners = told.get(teller) ?? new Map<AnsweringNode, Set<number>>();
      const slots = owners.get(owner) ?? new Set<number>();
      for (const slot of expandSlots(entry.slots)) if (owned.has(slot)) slots.add(slot);
      if (slots.size > 0) told.set(teller, owners.set(owner, slots));
    }
  }
  return [...told].flatMap(([{ name }, owners]) =>
    [...owners].map(
      ([owner, slots]): Step => ({
        do: "nameOwner",
        node: name,
        slots: toRanges([...slots].sort((a, b) => a - b)),
        owner: owner.name,
        ownerId: owner.id,
      }),
    ),
  );
}
