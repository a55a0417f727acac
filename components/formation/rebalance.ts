import type { FormationGoal, Member } from "./goal";
import { layoutOf } from "./layout";
import { type AnsweringNode, answering, type ClusterObservation, openSlotsOf, self } from "./observation";
import { countSlots, expandSlots, SLOT_COUNT, toRanges } from "./slots";
import type { Step } from "./steps";

export type MigrateSlots = Extract<Step, { do: "migrateSlots" }>;

/** Slots of one pair that one round may take on; the executor ends a round by time in any case. */
export const SLOTS_A_ROUND = 4_096;

/**
 * Every move that evenness demands, and no more: shards end within one slot of each other, nodes that leave end with none.
 * A shard keeps what it has up to its share, so that the moves are as few as they can be. Empty where nothing is to move, or
 * where a shard has nobody to lead it yet.
 */
export function planMoves(goal: FormationGoal, observation: ClusterObservation): MigrateSlots[] {
  const heads = layoutOf(goal, observation).map((shard) => ({ shard, head: shard.leader }));
  if (heads.some(({ head }) => head === undefined)) return [];
  const owners = answering(observation).filter((n) => self(n).role === "master" && self(n).slots.length > 0);
  const total = owners.reduce((sum, n) => sum + countSlots(self(n).slots), 0);
  if (total !== SLOT_COUNT) return [];

  const shares = sharesOf(
    goal,
    heads.map(({ head }) => (head ? countSlots(self(head).slots) : 0)),
  );
  const headIds = new Set(heads.map(({ head }) => head?.id));
  const surplus = [
    ...owners.filter((n) => !headIds.has(n.id)).map((node) => ({ node, slots: expandSlots(self(node).slots) })),
    ...heads.flatMap(({ shard, head }, i) => {
      const owned = head ? expandSlots(self(head).slots) : [];
      const share = shares[i] ?? 0;
      if (!head || owned.length <= share) return [];
      // What it owned from the start stays longest: a slot that was moved by hand goes back where it came from.
      const home = new Set(expandSlots(shard.planned.slots));
      const leaving = [...owned.filter((s) => home.has(s)), ...owned.filter((s) => !home.has(s))].slice(share);
      return [{ node: head, slots: leaving.sort((a, b) => a - b) }];
    }),
  ];
  const moves: MigrateSlots[] = [];
  heads.forEach(({ shard, head }, i) => {
    let need = (shares[i] ?? 0) - (head ? countSlots(self(head).slots) : 0);
    for (const donor of surplus) {
      if (!head || need <= 0) break;
      const slots = donor.slots.splice(0, need);
      if (slots.length === 0) continue;
      need -= slots.length;
      moves.push(move(donor.node, head, shard.planned.name, slots));
    }
  });
  return moves;
}

/** As recorded for nodes that were given, else even. */
function sharesOf(goal: FormationGoal, owned: readonly number[]): number[] {
  const recorded = goal.given?.slotShares;
  return recorded ? goal.plan.shards.map((shard) => recorded[shard.name] ?? 0) : fairShares(owned);
}

/**
 * How many slots each shard ends with: 16384 divided evenly, the odd ones to those that own most already, so that nothing
 * moves that need not.
 */
export function fairShares(owned: readonly number[]): number[] {
  const base = Math.floor(SLOT_COUNT / owned.length);
  const odd = SLOT_COUNT % owned.length;
  const order = owned.map((count, i) => ({ count, i })).sort((a, b) => b.count - a.count || a.i - b.i);
  const shares = new Array<number>(owned.length).fill(base);
  for (const { i } of order.slice(0, odd)) shares[i] = base + 1;
  return shares;
}

/** Sources that one node takes slots from at a time: its own work, not the way there, is then what limits the move. */
const SOURCES_A_TARGET = 3;

/**
 * The next round. A node gives to one other at a time, and one that takes gives nothing: slots that are open through one
 * node towards several have made nodes disagree about owners, since each new owner raises the epoch by its own account.
 * Several may give to one, which then is the only one that raises it for all of them.
 */
export function nextRound(moves: readonly MigrateSlots[], limit: number): MigrateSlots[] {
  const giving = new Set<string>();
  const taking = new Map<string, number>();
  return moves.flatMap((m) => {
    const sources = taking.get(m.to) ?? 0;
    if (giving.has(m.node) || giving.has(m.to) || taking.has(m.node) || sources >= SOURCES_A_TARGET) return [];
    giving.add(m.node);
    taking.set(m.to, sources + 1);
    return [{ ...m, slots: toRanges(expandSlots(m.slots).slice(0, limit)) }];
  });
}

/**
 * What to do with slots that an aborted move left open, ours or anybody's: carry the move to its end, towards the shard that
 * was to receive the slot. That is right from every state in between, since keys may lie on either side. A mark names a node;
 * after a failover it stands for whoever leads that node's shard now, for the keys went there. Where nobody does, no key can
 * have gone where anyone could fetch it: the mark is taken back.
 */
export function finishOpenSlots(
  observation: ClusterObservation,
  members: readonly Member[],
  shardOf: (node: string) => string,
): Step[] {
  const alive = answering(observation);
  const masters = new Map(alive.filter((n) => self(n).role === "master").map((n) => [n.id, n]));
  const owners = new Map<number, AnsweringNode>();
  for (const node of masters.values()) for (const slot of expandSlots(self(node).slots)) owners.set(slot, node);
  const standsFor = (id: string): AnsweringNode | undefined => {
    const node = alive.find((n) => n.id === id);
    if (node) return masters.get(id) ?? masters.get(self(node).masterId ?? "");
    const former = members.find((m) => m.id === id);
    return former && [...masters.values()].find((n) => shardOf(n.name) === former.shard);
  };
  const going = new Map<string, { from: AnsweringNode; to: AnsweringNode; slots: Set<number> }>();
  const steps: Step[] = [];
  for (const node of masters.values()) {
    const over: number[] = [];
    for (const open of openSlotsOf(node)) {
      const to = open.direction === "importing" ? node : standsFor(open.peerId);
      const from = owners.get(open.slot);
      if (!to || !from || from === to) {
        over.push(open.slot);
        continue;
      }
      const key = `${from.id} ${to.id}`;
      const entry = going.get(key) ?? { from, to, slots: new Set() };
      entry.slots.add(open.slot);
      going.set(key, entry);
    }
    if (over.length > 0) steps.push({ do: "stabilizeSlots", node: node.name, slots: toRanges(over) });
  }
  // From Valkey 8 on replicas have their master's marks. One that was away while they were taken back has them still, whatever it copied since.
  for (const node of alive) {
    const master = masters.get(self(node).masterId ?? "");
    if (!master) continue;
    const open = new Set(openSlotsOf(master).map((o) => o.slot));
    const over = openSlotsOf(node).flatMap((o) => (open.has(o.slot) ? [] : [o.slot]));
    if (over.length > 0) steps.push({ do: "stabilizeSlots", node: master.name, slots: toRanges(over) });
  }
  const pairs = [...going.values()].map(({ from, to, slots }) => ({ from, to, slots: [...slots] }));
  // Without knowing the owner the target refuses keys, whatever it imports.
  const unaware = pairs.flatMap(({ from, to, slots }): Step[] => {
    const known = new Set(to.view.filter((e) => e.id === from.id).flatMap((e) => expandSlots(e.slots)));
    const news = toRanges(slots.filter((slot) => !known.has(slot)));
    return news.length > 0 ? [{ do: "nameOwner", node: to.name, slots: news, owner: from.name, ownerId: from.id }] : [];
  });
  if (unaware.length > 0) return [...steps, ...unaware];
  const moves = pairs.map(({ from, to, slots }) => move(from, to, shardOf(to.name), slots));
  return [...steps, ...nextRound(moves, SLOTS_A_ROUND)];
}

function move(from: AnsweringNode, to: AnsweringNode, shard: string, slots: readonly number[]): MigrateSlots {
  return {
    do: "migrateSlots",
    node: from.name,
    nodeId: from.id,
    to: to.name,
    toId: to.id,
    toEndpoint: to.endpoint,
    shard,
    slots: toRanges(slots),
  };
}
