import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import { apply, asDeclared, forecast, settle } from "../../../components/formation/forecast";
import type { FormationGoal, Member } from "../../../components/formation/goal";
import { layoutOf } from "../../../components/formation/layout";
import { rememberMembers } from "../../../components/formation/members";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  isBlank,
  self,
} from "../../../components/formation/observation";
import { plan } from "../../../components/formation/plan";
import { fairShares, nextRound, planMoves } from "../../../components/formation/rebalance";
import { countSlots, expandSlots, SLOT_COUNT, toRanges } from "../../../components/formation/slots";
import type { Step } from "../../../components/formation/steps";
import { place } from "../../../components/topology/place";
import { specOf } from "../../unit/topology/support";

/** The same changes at every run; FC_SEED tries others. */
const SEED = Number(process.env.FC_SEED ?? 20_260_102);
const RUNS = process.env.FULL ? 300 : 12;
const ROUNDS = 400;

interface Shape {
  readonly masters: number;
  readonly replicas: number;
  readonly zones: number;
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  masters: fc.integer({ min: 3, max: 7 }),
  replicas: fc.integer({ min: 0, max: 2 }),
  zones: fc.integer({ min: 1, max: 4 }),
});
/** Slots in pieces, each with a number that picks its owner; how uneven it gets is up to chance. */
const ownerships = fc.array(fc.record({ length: fc.integer({ min: 1, max: 3_000 }), owner: fc.nat() }), {
  minLength: 1,
  maxLength: 60,
});

/** The same node keeps its endpoint in every shape. */
const addresses = new Map<string, string>();

function goalOf({ masters, replicas, zones }: Shape): FormationGoal {
  const spec = specOf(masters, replicas, zones);
  const topology = place(spec);
  const nodes = topology.shards.flatMap((s) => s.nodes);
  for (const { name } of nodes)
    if (!addresses.has(name)) addresses.set(name, `10.0.${addresses.size >> 8}.${addresses.size & 255}`);
  const endpoints = Object.fromEntries(
    nodes.map(({ name }) => [name, { address: addresses.get(name) ?? "", port: 7_000, busPort: 17_000 }]),
  );
  const settings = { "cluster-node-timeout": "5000" };
  return {
    cluster: spec.name,
    engine: spec.engine,
    plan: topology,
    endpoints,
    settings,
    nodeTimeoutMilliseconds: 5_000,
  };
}

const idOf = (name: string) => createHash("sha1").update(name).digest("hex");

/** A formed cluster of this shape whose masters own these slots and hold keys. */
function formed(goal: FormationGoal, pieces: readonly { length: number; owner: number }[]): ClusterObservation {
  const owned = goal.plan.shards.map(() => [] as number[]);
  let slot = 0;
  for (let i = 0; slot < SLOT_COUNT; i++) {
    const { length = 1, owner = 0 } = pieces[i % pieces.length] ?? {};
    for (let n = 0; n < length && slot < SLOT_COUNT; n++)
      owned[(owner + (i >= pieces.length ? i : 0)) % owned.length]?.push(slot++);
  }
  // A leader of a formed shard owns something, or it would be a shard still to come.
  for (const slots of owned)
    if (slots.length === 0) slots.push(...(owned.find((o) => o.length > 1)?.splice(0, 1) ?? []));
  const nodes = goal.plan.shards.flatMap(({ nodes: own }, i) =>
    own.map(({ name }, n): AnsweringNode => {
      const endpoint = goal.endpoints[name] ?? { address: "", port: 0, busPort: 0 };
      const master = own[0]?.name ?? "";
      const entry: NodeEntry = {
        id: idOf(name),
        ...endpoint,
        role: n === 0 ? "master" : "replica",
        ...(n === 0 ? {} : { masterId: idOf(master) }),
        myself: true,
        health: "ok",
        handshake: false,
        noaddr: false,
        configEpoch: i + 1,
        linked: true,
        slots: n === 0 ? toRanges(owned[i] ?? []) : [],
        openSlots: [],
      };
      return {
        answering: true,
        name,
        endpoint,
        id: entry.id,
        server: { ...goal.engine, clusterEnabled: true },
        view: [entry],
        state: "ok",
        currentEpoch: i + 1,
        keys: 10,
        memory: { usedBytes: 0, maxBytes: 0 },
        replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
        settings: { ...goal.settings },
      };
    }),
  );
  const everybody = nodes.map(self);
  return { nodes: nodes.map((n) => ({ ...n, view: everybody.map((e) => ({ ...e, myself: e.id === n.id })) })) };
}

const owners = (o: ClusterObservation) =>
  answering(o).filter((n) => self(n).role === "master" && self(n).slots.length > 0);

function carryOut(o: ClusterObservation, steps: readonly Step[]): ClusterObservation {
  return settle(steps.reduce(apply, o));
}

describe("evenness", () => {
  test("shares differ by one at most, sum up to all slots, and leave as much as possible where it is", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: SLOT_COUNT }), { minLength: 1, maxLength: 40 }), (owned) => {
        const shares = fairShares(owned);
        expect(shares.reduce((a, b) => a + b, 0)).toBe(SLOT_COUNT);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
        // Whoever keeps more than `base` needs one of the odd slots, and there are only so many.
        const base = Math.floor(SLOT_COUNT / owned.length);
        const above = owned.filter((n) => n > base).length;
        const most = owned.reduce((sum, n) => sum + Math.min(n, base), 0) + Math.min(SLOT_COUNT % owned.length, above);
        expect(owned.reduce((sum, n, i) => sum + Math.min(n, shares[i] ?? 0), 0)).toBe(most);
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  test("no more slots move than the lower bound, from any ownership to any number of shards", () => {
    fc.assert(
      fc.property(shapes, shapes, ownerships, (from, to, pieces) => {
        const [before, goal] = [goalOf(from), goalOf({ ...to, zones: from.zones })];
        const now = asDeclared(before, goal, formed(before, pieces));
        // New shards count as soon as their leader has joined.
        const joined = settle(
          answering(now).reduce(
            (o, n) =>
              isBlank(n) ? apply(o, { do: "meet", node: n.name, peer: owners(o)[0]?.name ?? "", ...n.endpoint }) : o,
            now,
          ),
        );
        const moves = planMoves(goal, joined);
        const heads = layoutOf(goal, joined).map(({ leader }) => (leader ? countSlots(self(leader).slots) : 0));
        const base = Math.floor(SLOT_COUNT / heads.length);
        const above = heads.filter((n) => n > base).length;
        const kept = heads.reduce((sum, n) => sum + Math.min(n, base), 0) + Math.min(SLOT_COUNT % heads.length, above);
        expect(moves.reduce((sum, m) => sum + countSlots(m.slots), 0)).toBe(SLOT_COUNT - kept);
        // Each slot moves once, from its owner.
        const moved = moves.flatMap((m) => expandSlots(m.slots).map((slot) => ({ slot, from: m.node })));
        expect(new Set(moved.map((m) => m.slot)).size).toBe(moved.length);
        const ownerOf = new Map(
          owners(joined).flatMap((n) => expandSlots(self(n).slots).map((slot) => [slot, n.name] as const)),
        );
        for (const { slot, from: node } of moved)
          if (ownerOf.get(slot) !== node) throw new Error(`slot ${slot} is not ${node}'s`);
        const after = carryOut(joined, moves);
        const ends = layoutOf(goal, after).map(({ leader }) => (leader ? countSlots(self(leader).slots) : 0));
        expect(Math.max(...ends) - Math.min(...ends)).toBeLessThanOrEqual(1);
        expect(ends.reduce((a, b) => a + b, 0)).toBe(SLOT_COUNT);
        expect(planMoves(goal, after)).toEqual([]);
      }),
      { seed: SEED, numRuns: RUNS * 3 },
    );
  }, 1_800_000);

  test("a round: each node gives to one at most, who takes does not give, and no node takes from more than three", () => {
    fc.assert(
      fc.property(shapes, shapes, ownerships, fc.integer({ min: 1, max: 5_000 }), (from, to, pieces, limit) => {
        const [before, goal] = [goalOf(from), goalOf({ ...to, zones: from.zones })];
        const round = nextRound(planMoves(goal, asDeclared(before, goal, formed(before, pieces))), limit);
        expect(new Set(round.map((m) => m.node)).size).toBe(round.length);
        for (const { node, to: target, slots } of round) {
          expect(round.some((m) => m.to === node || m.node === target)).toBe(false);
          expect(round.filter((m) => m.to === target).length).toBeLessThanOrEqual(3);
          expect(countSlots(slots)).toBeLessThanOrEqual(limit);
        }
      }),
      { seed: SEED, numRuns: RUNS * 3 },
    );
  }, 1_800_000);
});

/** Every slot has exactly one owner, and whoever is taken away is no shard's last copy. */
function checkSafe(o: ClusterObservation): void {
  const slots = owners(o).flatMap((n) => expandSlots(self(n).slots));
  expect([slots.length, new Set(slots).size]).toEqual([SLOT_COUNT, SLOT_COUNT]);
}

function checkStep(o: ClusterObservation, step: Step): void {
  const node = answering(o).find((n) => n.name === step.node);
  if (!node) throw new Error(`a step for ${step.node}, which does not answer`);
  const own = self(node);
  if (step.do === "reset") {
    expect([step.node, countSlots(own.slots), node.leaving !== undefined]).toEqual([step.node, 0, true]);
    // Nobody follows it any more but who leaves too.
    expect(answering(o).filter((n) => !n.leaving && self(n).masterId === node.id)).toEqual([]);
    // A replica's master is there, with all that it has.
    if (own.role === "replica")
      expect(answering(o).some((n) => n.id === own.masterId && self(n).role === "master")).toBe(true);
  }
  if (step.do === "replicate" && own.role === "master")
    expect([step.node, countSlots(own.slots)]).toEqual([step.node, 0]);
  if (step.do === "addSlotsRange") throw new Error("slots of a formed cluster were assigned anew");
  if (step.do === "forget") expect(answering(o).some((n) => n.id === step.id && !isBlank(n))).toBe(false);
  if (step.do === "failover") expect(own.role).toBe("replica");
}

describe("any change of masters, replicas and zones", () => {
  test("converges in rounds of any size, covered and with every copy at every step", () => {
    fc.assert(
      fc.property(shapes, shapes, ownerships, fc.integer({ min: 300, max: SLOT_COUNT }), (from, to, pieces, limit) => {
        const [before, goal] = [goalOf(from), goalOf(to)];
        const start = formed(before, pieces);
        let members: readonly Member[] = rememberMembers(before, [], start);
        let now = asDeclared(before, goal, start);
        for (let round = 0; ; round++) {
          if (round > ROUNDS) throw new Error(`no end after ${ROUNDS} rounds`);
          members = rememberMembers(goal, members, now);
          const next = plan(goal, { members, verified: true }, now, { slotsARound: limit });
          if (next.kind !== "act") {
            expect(next).toEqual({ kind: "done" });
            break;
          }
          const seen = now;
          for (const step of next.steps) {
            // All steps of a batch were decided on one look at the cluster.
            checkStep(seen, step);
            now = apply(now, step);
            checkSafe(now);
          }
          now = settle(now);
        }
        // Who left is alone and empty; who stays leads and follows as declared.
        for (const node of answering(now)) if (node.leaving) expect(isBlank(node)).toBe(true);
        const counts = layoutOf(goal, now).map(({ leader }) => (leader ? countSlots(self(leader).slots) : 0));
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        expect(layoutOf(goal, now).map((s) => s.replicas.length)).toEqual(goal.plan.shards.map(() => to.replicas));
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 1_800_000);

  test("is foretold to its end, and nothing is foretold for what is there already", () => {
    fc.assert(
      fc.property(shapes, shapes, ownerships, (from, to, pieces) => {
        const [before, goal] = [goalOf(from), goalOf(to)];
        const start = formed(before, pieces);
        const members = rememberMembers(before, [], start);
        const { steps, end } = forecast(goal, { members, verified: true }, asDeclared(before, goal, start));
        expect(end).toEqual({ kind: "done" });
        const even = forecast(before, { members, verified: true }, start);
        expect(even.end).toEqual({ kind: "done" });
        const settled = carryOut(start, even.steps);
        expect(forecast(before, { members, verified: true }, settled).steps).toEqual([]);
        if (steps.length === 0) expect(from).toEqual(to);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 1_800_000);
});
