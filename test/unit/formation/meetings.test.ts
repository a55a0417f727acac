import { expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import { planMeetings, planMesh } from "../../../components/formation/meetings";
import type { AnsweringNode } from "../../../components/formation/observation";
import type { Step } from "../../../components/formation/steps";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

/** Nodes of which the first `known` all know each other and nobody else. */
function observed(masters: number, known: number, replicas = 0) {
  const spec = specOf(masters, replicas, 3);
  const plan = place(spec);
  const names = plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
  const entries = names.map(
    (name, i): NodeEntry => ({
      id: `id-${name}`,
      address: "10.0.0.1",
      port: 7_000 + i,
      busPort: 17_000 + i,
      role: "master",
      myself: false,
      health: "ok",
      handshake: false,
      noaddr: false,
      configEpoch: i,
      linked: true,
      slots: [],
      openSlots: [],
    }),
  );
  const alive = entries.map((own, i): AnsweringNode => {
    const endpoint = { address: own.address, port: own.port, busPort: own.busPort };
    const view = i < known ? entries.slice(0, known) : [own];
    return {
      answering: true,
      name: names[i] ?? "",
      endpoint,
      id: own.id,
      server: { ...spec.engine, clusterEnabled: true },
      view: view.map((e) => ({ ...e, myself: e === own })),
      state: "ok",
      currentEpoch: 1,
      keys: 0,
      memory: { usedBytes: 0, maxBytes: 0 },
      replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
      settings: {},
    };
  });
  const endpoints = Object.fromEntries(alive.map((n) => [n.name, n.endpoint]));
  const goal = {
    cluster: spec.name,
    engine: spec.engine,
    plan,
    endpoints,
    settings: {},
    nodeTimeoutMilliseconds: 5_000,
  };
  return { goal, alive, plan };
}

const meetingsOf = (steps: readonly Step[]) => steps.flatMap((s) => (s.do === "meet" ? [s] : []));
const pairsOf = (steps: readonly Step[]) => meetingsOf(steps).map((s) => [s.node, s.peer].sort().join(" "));

function pairs(masters: number, known: number): number {
  const { goal, alive } = observed(masters, known);
  return new Set(pairsOf(planMeetings(goal, alive, false))).size;
}

test("every pair meets in a small cluster, a few hubs in a large new one, everybody those few that join a large one", () => {
  expect(pairs(30, 0)).toBe((30 * 29) / 2);
  expect(pairs(60, 0)).toBe((4 * 3) / 2 + 4 * 56);
  expect(pairs(33, 30)).toBe(3 * 30 + 3);
  expect(pairs(33, 33)).toBe(0);
});

test("while nodes ping often, one of each pair meets the other: a replica its leader, and everybody about as many", () => {
  const { goal, alive, plan } = observed(15, 0, 1);
  const steps = planMesh(goal, alive);
  expect(steps).toHaveLength((30 * 29) / 2);
  expect(new Set(pairsOf(steps)).size).toBe(steps.length);
  const meetings = new Set(meetingsOf(steps).map((s) => `${s.node} ${s.peer}`));
  for (const { nodes } of plan.shards) {
    const [leader, ...replicas] = nodes.map((n) => n.name);
    for (const replica of replicas) expect(meetings).toContain(`${replica} ${leader}`);
  }
  for (const { name } of alive)
    expect(Math.abs(steps.filter((s) => s.node === name).length - 14.5), name).toBeLessThan(3);
});

test("who is known one way only is met the other way too, unless that is under way", () => {
  const { goal, alive } = observed(3, 0);
  const [a, b, c] = alive as [AnsweringNode, AnsweringNode, AnsweringNode];
  const entry = (of: AnsweringNode) => ({ ...(of.view[0] as NodeEntry), myself: false });
  const half: AnsweringNode = {
    ...a,
    view: [...a.view, entry(b), { ...entry(c), id: "unknown yet", handshake: true }],
  };
  const meetings = meetingsOf(planMesh(goal, [half, b, c])).map((s) => `${s.node} ${s.peer}`);
  expect(meetings.filter((m) => m.includes(a.name))).toEqual([`${b.name} ${a.name}`]);
  expect(meetings).toHaveLength(2);
});
