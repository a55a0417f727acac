import { expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import { planMeetings } from "../../../components/formation/meetings";
import type { AnsweringNode } from "../../../components/formation/observation";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

/** A cluster of masters, the first `known` of which all know each other and nobody else. */
function observed(masters: number, known: number) {
  const spec = specOf(masters, 0, 3);
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
  const pairs = planMeetings(goal, alive, false).flatMap((s) =>
    s.do === "meet" ? [[s.node, s.peer].sort().join(" ")] : [],
  );
  return new Set(pairs).size;
}

test("every pair meets in a small cluster, a few hubs in a large new one, everybody those few that join a large one", () => {
  expect(observed(30, 0)).toBe((30 * 29) / 2);
  expect(observed(60, 0)).toBe((4 * 3) / 2 + 4 * 56);
  expect(observed(33, 30)).toBe(3 * 30 + 3);
  expect(observed(33, 33)).toBe(0);
});
