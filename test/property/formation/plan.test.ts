import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import { apply, settle } from "../../../components/formation/forecast";
import type { FormationGoal, Member } from "../../../components/formation/goal";
import { layoutOf } from "../../../components/formation/layout";
import { rememberMembers } from "../../../components/formation/members";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  self,
  withoutRetired,
} from "../../../components/formation/observation";
import { type Plan, plan } from "../../../components/formation/plan";
import { countSlots, expandSlots, mergeRanges } from "../../../components/formation/slots";
import { standingOf } from "../../../components/formation/standing";
import type { Step } from "../../../components/formation/steps";
import { place } from "../../../components/topology/place";
import { specOf } from "../../unit/topology/support";

/** The same shapes at every run; FC_SEED tries others. */
const SEED = Number(process.env.FC_SEED ?? 20_260_101);
const RUNS = process.env.FULL ? 500 : 20;
const ROUNDS = 40;

interface Choice {
  /** Which node's steps are carried out in this round, as a random mask. */
  readonly mask: number;
  readonly order: number;
  readonly settled: boolean;
}

const shapes = fc.record({
  masters: fc.integer({ min: 3, max: 6 }),
  replicas: fc.integer({ min: 0, max: 2 }),
  zones: fc.integer({ min: 1, max: 4 }),
});
const choices = fc.array(fc.record({ mask: fc.nat(), order: fc.nat(), settled: fc.boolean() }), { maxLength: 6 });
const events = fc.array(
  fc.record({
    kind: fc.constantFrom("failover", "drift", "identity", "restart", "keys"),
    node: fc.nat(),
    at: fc.nat({ max: 5 }),
  }),
  { maxLength: 4 },
);

function goalOf({ masters, replicas, zones }: { masters: number; replicas: number; zones: number }): FormationGoal {
  const spec = specOf(masters, replicas, zones);
  const topology = place(spec);
  const endpoints = Object.fromEntries(
    topology.shards
      .flatMap((s) => s.nodes)
      .map((n, i) => [n.name, { address: `10.0.0.${i + 1}`, port: 7000, busPort: 17_000 }]),
  );
  return {
    cluster: spec.name,
    engine: spec.engine,
    plan: topology,
    endpoints,
    settings: { "cluster-node-timeout": "5000", "maxmemory-policy": "noeviction" },
    nodeTimeoutMilliseconds: 5_000,
  };
}

let ids = 0;
const newId = () => (++ids).toString(16).padStart(40, "0");

function blank(goal: FormationGoal, name: string, id = newId()): AnsweringNode {
  const endpoint = goal.endpoints[name] ?? { address: "", port: 0, busPort: 0 };
  const entry: NodeEntry = {
    id,
    ...endpoint,
    role: "master",
    myself: true,
    health: "ok",
    handshake: false,
    noaddr: false,
    configEpoch: 0,
    linked: true,
    slots: [],
    openSlots: [],
  };
  return {
    answering: true,
    name,
    endpoint,
    id,
    server: { ...goal.engine, clusterEnabled: true },
    view: [entry],
    state: "fail",
    currentEpoch: 0,
    keys: 0,
    memory: { usedBytes: 0, maxBytes: 0 },
    replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
    settings: { ...goal.settings },
  };
}

const names = (goal: FormationGoal) => goal.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
const start = (goal: FormationGoal): ClusterObservation => ({ nodes: names(goal).map((name) => blank(goal, name)) });
const change = (o: ClusterObservation, name: string, f: (n: AnsweringNode) => AnsweringNode): ClusterObservation => ({
  nodes: o.nodes.map((n) => (n.answering && n.name === name ? f(n) : n)),
});

/** Replicas hold what their masters hold. */
function synced(o: ClusterObservation): ClusterObservation {
  const keys = new Map(answering(o).map((n) => [n.id, n.keys]));
  return {
    nodes: o.nodes.map((n) =>
      n.answering && self(n).role === "replica" ? { ...n, keys: keys.get(self(n).masterId ?? "") ?? n.keys } : n,
    ),
  };
}

/** What must hold of every batch, whatever came before. */
function checkBatch(goal: FormationGoal, o: ClusterObservation, next: Plan, verified: boolean): void {
  if (next.kind !== "act") return;
  expect(next.steps.length).toBeGreaterThan(0);
  const alive = answering(o);
  const byName = new Map(alive.map((n) => [n.name, n]));
  const owned = new Set(expandSlots(mergeRanges(alive.flatMap((n) => n.view.flatMap((e) => e.slots)))));
  const assigned = new Set<number>();
  for (const step of next.steps) {
    const node = byName.get(step.node);
    if (!node) throw new Error(`a step for ${step.node}, which does not answer`);
    switch (step.do) {
      case "setTemporary":
        expect([owned.size, ...alive.map((n) => n.keys)].every((n) => n === 0)).toBe(true);
        break;
      case "addSlotsRange":
        expect(verified).toBe(false);
        for (const slot of expandSlots(step.slots)) {
          expect(owned.has(slot) || assigned.has(slot)).toBe(false);
          assigned.add(slot);
        }
        expect(goal.plan.shards.find((s) => s.name === step.shard)?.nodes.map((n) => n.name)).toContain(step.node);
        break;
      case "replicate": {
        const master = alive.find((n) => n.id === step.masterId);
        if (self(node).role === "master") expect([countSlots(self(node).slots), node.keys]).toEqual([0, 0]);
        // A replica is taken from its master only if that one is there or owns nothing.
        const former = self(node).masterId;
        if (former !== undefined && !alive.some((n) => n.id === former))
          expect(alive.flatMap((n) => n.view).filter((e) => e.id === former && e.slots.length > 0)).toEqual([]);
        expect(master && countSlots(self(master).slots)).toBeGreaterThan(0);
        expect(node).not.toBe(master);
        break;
      }
      case "forget":
        expect(alive.some((n) => n.id === step.id)).toBe(false);
        if (verified)
          expect(alive.flatMap((n) => n.view).filter((e) => e.id === step.id && e.slots.length > 0)).toEqual([]);
        break;
      case "failover":
        expect(self(node).role).toBe("replica");
        break;
    }
  }
}

/** Any subset of a batch's nodes, each with a prefix of its steps, nodes in any order. */
function partly(o: ClusterObservation, steps: readonly Step[], { mask, order, settled }: Choice): ClusterObservation {
  const own = new Map<string, Step[]>();
  for (const step of steps) own.set(step.node, [...(own.get(step.node) ?? []), step]);
  const chosen = [...own.values()].flatMap((list, i) =>
    (mask >> (i % 30)) & 1 ? [list.slice(0, 1 + ((order >> (i % 30)) % list.length))] : [],
  );
  if (order % 2 === 1) chosen.reverse();
  const after = chosen.flat().reduce(apply, o);
  return synced(settled ? settle(after) : after);
}

/** A node that came back with another ID: its old one stays in the others' views, without an address. */
function loseIdentity(goal: FormationGoal, o: ClusterObservation, name: string): ClusterObservation {
  const former = answering(o).find((n) => n.name === name)?.id;
  return {
    nodes: o.nodes.map((n) => {
      if (!n.answering) return n;
      if (n.name === name) return blank(goal, name);
      return { ...n, view: n.view.map((e) => (e.id === former ? { ...e, noaddr: true, linked: false } : e)) };
    }),
  };
}

interface State {
  readonly observation: ClusterObservation;
  readonly members: readonly Member[];
  readonly verified: boolean;
  readonly next: Plan;
}

/** One look at the cluster: remembers members, plans, and checks what must hold. */
function look(
  goal: FormationGoal,
  observation: ClusterObservation,
  before: readonly Member[],
  verified: boolean,
): State {
  const members = rememberMembers(goal, before, observation);
  const frozen = freeze(observation);
  const next = plan(goal, { members, verified }, frozen);
  expect(plan(goal, { members, verified }, structuredClone(observation))).toEqual(next);
  checkBatch(goal, observation, next, verified);
  return { observation, members, verified: verified || next.kind === "done", next };
}

function freeze<T>(value: T): T {
  if (value !== null && typeof value === "object" && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) freeze(inner);
  }
  return value;
}

/** Goes on until nothing is to do or it is refused, every step carried out. */
function finish(goal: FormationGoal, from: State): State {
  let state = from;
  for (let round = 0; round < ROUNDS; round++) {
    if (state.next.kind === "done" || state.next.kind === "refuse") return state;
    const steps = state.next.kind === "act" ? state.next.steps : [];
    state = look(goal, synced(settle(steps.reduce(apply, state.observation))), state.members, state.verified);
  }
  throw new Error(`no end after ${ROUNDS} rounds: ${JSON.stringify(state.next)}`);
}

type Event = { kind: string; node: number; at: number };

/** Something that happens to a cluster, where it can happen now; the answer says whether data may be lost by it. */
function happen(goal: FormationGoal, o: ClusterObservation, event: Event): ClusterObservation {
  const all = names(goal);
  const name = all[event.node % all.length] ?? "";
  const shard = layoutOf(goal, o).find((s) => s.planned.nodes.some((n) => n.name === name));
  switch (event.kind) {
    case "failover": {
      const heir = shard?.replicas[0];
      return shard?.leader && heir
        ? settle(apply(o, { do: "failover", node: heir.name, shard: shard.planned.name, from: shard.leader.name }))
        : o;
    }
    case "drift":
      return change(o, name, (n) => ({
        ...n,
        settings: { ...n.settings, "maxmemory-policy": "allkeys-lru", "cluster-node-timeout": "500" },
      }));
    case "identity":
      // With the leader gone and nobody to take over, data are lost: another test.
      return shard?.strays.length === 0 && (shard.replicas.length > 0 || shard.leader?.name !== name)
        ? loseIdentity(goal, o, name)
        : o;
    case "keys":
      return countSlots(answering(o).flatMap((n) => self(n).slots)) === 16_384 && shard?.leader
        ? synced(change(o, shard.leader.name, (n) => ({ ...n, keys: n.keys + 1 })))
        : o;
    default:
      return settle(o);
  }
}

/** A cluster on its way: `rounds` of partly carried out batches with events between them. */
function onItsWay(goal: FormationGoal, made: readonly Choice[], happening: readonly Event[]): State {
  let state = look(goal, start(goal), [], false);
  made.forEach((choice, round) => {
    let { observation } = state;
    if (state.next.kind === "act") observation = partly(observation, state.next.steps, choice);
    for (const event of happening.filter((e) => e.at === round && e.kind !== "keys"))
      observation = happen(goal, observation, event);
    state = look(goal, observation, state.members, state.verified);
  });
  return state;
}

describe("plan", () => {
  test("converges from anything half-formed, safe in every batch, and is done when nothing is to do", () => {
    fc.assert(
      fc.property(shapes, choices, events, (shape, made, happening) => {
        const goal = goalOf(shape);
        const end = finish(goal, onItsWay(goal, made, happening));
        expect(end.next).toEqual({ kind: "done" });
        expect(look(goal, end.observation, end.members, true).next).toEqual({ kind: "done" });
        expect(look(goal, end.observation, end.members, false).next).toEqual({ kind: "done" });
      }),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
  }, 1_800_000);

  test("mends a formed cluster with keys after failovers, drift and lost identities, and never loses a shard", () => {
    fc.assert(
      fc.property(shapes, events, (shape, happening) => {
        const goal = goalOf(shape);
        let state = finish(goal, look(goal, start(goal), [], false));
        const keys = (o: ClusterObservation) => layoutOf(goal, o).map((s) => s.leader?.keys);
        let observation = goal.plan.shards.reduce(
          (o, s) => change(o, s.nodes[0]?.name ?? "", (n) => ({ ...n, keys: 10 })),
          state.observation,
        );
        observation = synced(observation);
        for (const event of happening) {
          if (event.kind === "keys") continue;
          state = finish(goal, look(goal, happen(goal, observation, event), state.members, true));
          expect(state.next).toEqual({ kind: "done" });
          observation = state.observation;
          expect(keys(observation)).toEqual(goal.plan.shards.map(() => 10));
        }
      }),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
  }, 1_800_000);

  test("refuses whatever stage it is at: a foreign ID, a silent node, a stranger with slots or keys", () => {
    fc.assert(
      fc.property(
        shapes,
        choices,
        events,
        fc.nat(),
        fc.constantFrom("foreign", "silent", "slots", "keys"),
        fc.boolean(),
        (shape, made, happening, pick, fault, whole) => {
          const goal = goalOf(shape);
          const way = onItsWay(goal, made, happening);
          const { observation, members, verified } = whole ? finish(goal, way) : way;
          const all = names(goal);
          const name = all[pick % all.length] ?? "";
          const stranger = blank(goal, name);
          const slots = [{ start: 0, end: 16_383 }];
          const known: NodeEntry = { ...self(blank(goal, name)), myself: false, address: "192.0.2.1" };
          const broken: ClusterObservation =
            fault === "foreign"
              ? change(observation, name, (n) => ({ ...n, view: [...n.view, known] }))
              : fault === "silent"
                ? {
                    nodes: observation.nodes.map((n) =>
                      n.name === name
                        ? { answering: false, name, endpoint: stranger.endpoint, reason: "connection refused" }
                        : n,
                    ),
                  }
                : change(observation, name, () =>
                    fault === "slots"
                      ? { ...stranger, keys: 3, view: [{ ...self(stranger), slots }] }
                      : { ...stranger, keys: 3 },
                  );
          const history = { members: rememberMembers(goal, members, broken), recorded: members, verified };
          const next = plan(goal, history, broken);
          // Keys without slots in a cluster that is whole: a former self that kept its data; it may wait, but never act on that node's role.
          if (fault === "keys" && standingOf(goal, history, withoutRetired(broken)).formed)
            expect(
              next.kind === "act" ? next.steps.filter((s) => s.node === name && s.do === "replicate") : [],
            ).toEqual([]);
          else expect([fault, next.kind]).toEqual([fault, "refuse"]);
        },
      ),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
  }, 1_800_000);

  test("a leader's lost identity with nobody to take over is refused as lost data, once it was verified", () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 7 }), fc.nat(), (masters, pick) => {
        const goal = goalOf({ masters, replicas: 0, zones: 3 });
        const { observation, members } = finish(goal, look(goal, start(goal), [], false));
        const name = names(goal)[pick % masters] ?? "";
        const broken = loseIdentity(goal, observation, name);
        const next = plan(goal, { members: rememberMembers(goal, members, broken), verified: true }, broken);
        expect(next.kind === "refuse" && next.refusals.map((r) => r.kind)).toEqual(["data-lost"]);
      }),
      { seed: SEED, numRuns: 20 },
    );
  });
});
