import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import { apply, asDeclared, settle } from "../../../components/formation/forecast";
import type { FormationGoal, History } from "../../../components/formation/goal";
import { rememberMembers } from "../../../components/formation/members";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  self,
} from "../../../components/formation/observation";
import { plan } from "../../../components/formation/plan";
import { recognize } from "../../../components/formation/recognize";
import { countSlots, SLOT_COUNT } from "../../../components/formation/slots";
import type { Step } from "../../../components/formation/steps";
import { changeHosts, type Host, type HostPlan, topologyOf } from "../../../components/topology/hosts";

const RUNS = process.env.FULL ? 200 : 25;
const engine = { name: "redis" as const, version: "7.0" };
const settings = { minReplicasToWrite: 0, requireFullCoverage: false, allowReadsWhenDown: false };
const endpointOf = (name: string) => ({ address: `10.0.0.${name.slice(1)}`, port: 6379, busPort: 16_379 });

function node(name: string, own: Partial<NodeEntry>): AnsweringNode {
  const id = name.padEnd(40, "x");
  const flags = { role: "master", myself: true, health: "ok", handshake: false, noaddr: false, linked: true } as const;
  return {
    answering: true,
    name,
    endpoint: endpointOf(name),
    id,
    server: { name: "redis", version: "7.0.15", clusterEnabled: true },
    view: [{ id, ...endpointOf(name), ...flags, configEpoch: 1, slots: [], openSlots: [], ...own }],
    state: "fail",
    currentEpoch: 1,
    keys: 0,
    memory: { usedBytes: 0, maxBytes: 0 },
    replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
    settings: {},
  };
}

/** Somebody's cluster: any cuts between the masters' slots, any number of replicas each. */
const found = fc
  .record({
    cuts: fc.uniqueArray(fc.integer({ min: 1, max: SLOT_COUNT - 1 }), { minLength: 2, maxLength: 4 }),
    replicas: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 5, maxLength: 5 }),
    blank: fc.integer({ min: 0, max: 3 }),
    zones: fc.array(fc.constantFrom("a", "b", "c"), { minLength: 20, maxLength: 20 }),
    shift: fc.nat(),
  })
  .map(({ cuts, replicas, blank, zones, shift }) => {
    const edges = [0, ...[...cuts].sort((a, b) => a - b), SLOT_COUNT];
    const nodes: AnsweringNode[] = [];
    const add = (own: Partial<NodeEntry>): AnsweringNode => {
      const made = node(`n${nodes.length}`, own);
      nodes.push(made);
      return made;
    };
    edges.slice(1).forEach((edge, i) => {
      const master = add({ slots: [{ start: edges[i] ?? 0, end: edge - 1 }] });
      for (let k = 0; k < (replicas[i] ?? 0); k++) add({ role: "replica", masterId: master.id });
    });
    const [first] = nodes;
    const joined = nodes.map((n) => ({ ...n, keys: 5, view: [...n.view, ...others(n, first)] }));
    const whole = settle({ nodes: joined }).nodes;
    const extra = Array.from({ length: blank }, (_, i) => node(`n${nodes.length + i}`, {}));
    const all = [...whole, ...extra];
    const hosts = all.map(({ name }, i): Host => ({ name, zone: zones[i] ?? "a" }));
    const at = shift % hosts.length;
    return { observation: { nodes: all }, hosts: [...hosts.slice(at), ...hosts.slice(0, at)], zones };
  });

function others(n: AnsweringNode, first: AnsweringNode | undefined): NodeEntry[] {
  return first && first.id !== n.id ? [{ ...self(first), myself: false }] : [];
}

function goalFor(hosts: readonly Host[], { shards, slotShares }: HostPlan): FormationGoal {
  return {
    cluster: "sessions",
    engine,
    plan: topologyOf({ shards }, settings),
    endpoints: Object.fromEntries(hosts.map(({ name }) => [name, endpointOf(name)])),
    settings: {},
    nodeTimeoutMilliseconds: 2_000,
    given: slotShares ? { slotShares } : {},
  };
}

/** Every batch as if it succeeded, with what must hold in each. */
function carryOut(goal: FormationGoal, history: History, start: ClusterObservation) {
  const steps: Step[] = [];
  let now = start;
  let members = history.members;
  for (let round = 0; round < 200; round++) {
    members = rememberMembers(goal, members, now);
    const next = plan(goal, { ...history, members }, now, { slotsARound: SLOT_COUNT });
    if (next.kind !== "act") return { end: next, steps, now, members };
    for (const step of next.steps) {
      const target = now.nodes.find((n) => n.name === step.node);
      // Who stays is never reset; who leaves, only without slots.
      if (step.do === "reset") {
        expect(target?.leaving).toBeDefined();
        expect(target?.answering && countSlots(self(target).slots)).toBe(0);
      }
      expect(step.do).not.toBe("addSlotsRange");
    }
    steps.push(...next.steps);
    now = settle(next.steps.reduce(apply, now));
    const owned = answering(now).filter((n) => self(n).role === "master");
    expect(owned.reduce((sum, n) => sum + countSlots(self(n).slots), 0)).toBe(SLOT_COUNT);
  }
  throw new Error("it did not converge");
}

const slotsOf = (goal: FormationGoal, now: ClusterObservation) =>
  goal.plan.shards.map((s) =>
    answering(now)
      .filter((n) => s.nodes.some((p) => p.name === n.name) && self(n).role === "master")
      .reduce((sum, n) => sum + countSlots(self(n).slots), 0),
  );

describe("given hosts", () => {
  test("any whole cluster is taken over without a step; then any change of hosts converges, covered at every step", () => {
    fc.assert(
      fc.property(
        found,
        fc.boolean(),
        fc.array(fc.nat(), { maxLength: 3 }),
        fc.nat(2),
        ({ observation, hosts, zones }, rebalance, out, more) => {
          const cluster = hosts.filter((h) =>
            answering(observation).some((n) => n.name === h.name && n.view.length > 1),
          );
          const own = { nodes: observation.nodes.filter((n) => cluster.some((h) => h.name === n.name)) };
          const asFound = recognize("sessions", cluster, { rebalance: false }, own);
          if (asFound.kind !== "cluster") throw new Error(JSON.stringify(asFound));
          const before = goalFor(cluster, asFound.plan);
          const adopted = carryOut(before, { members: asFound.members, verified: true }, own);
          expect(adopted).toMatchObject({ end: { kind: "done" }, steps: [] });

          // Some hosts go, blank ones come, perhaps as leaders; slots evenly or as they were.
          const gone = new Set(out.map((i) => cluster[i % cluster.length]?.name));
          const fresh = Array.from(
            { length: more + 1 },
            (_, i): Host => ({ name: `n${hosts.length + i}`, zone: zones[i] ?? "a" }),
          );
          const list = [...fresh, ...hosts.filter((h) => !gone.has(h.name))];
          const kept = asFound.plan.shards.filter((s) => s.nodes.some((n) => !gone.has(n.name))).length;
          const decided = changeHosts(asFound.plan, list, {
            rebalance,
            masters: Math.max(3, kept + (more > 1 ? 1 : 0)),
          });
          fc.pre(decided.plan !== undefined);
          const goal = goalFor(list, decided.plan);
          const { end, now } = carryOut(
            goal,
            { members: adopted.members, verified: true },
            asDeclared(before, goal, own),
          );
          expect(end).toEqual({ kind: "done" });
          const counts = slotsOf(goal, now);
          if (decided.plan.slotShares) expect(counts).toEqual(Object.values(decided.plan.slotShares));
          else expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
