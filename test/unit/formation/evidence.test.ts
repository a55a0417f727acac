import { describe, expect, test } from "vitest";
import { servesElsewhere, staleMembers } from "../../../components/formation/assess";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import type { FormationGoal, Member } from "../../../components/formation/goal";
import { layoutOf } from "../../../components/formation/layout";
import { rememberMembers } from "../../../components/formation/members";
import type { AnsweringNode } from "../../../components/formation/observation";
import { plan } from "../../../components/formation/plan";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

const spec = specOf(3, 2, 3);
const topology = place(spec);
const names = topology.shards.flatMap((s) => s.nodes.map((n) => n.name));
const endpoints = Object.fromEntries(
  names.map((name, i) => [name, { address: `10.0.0.${i + 1}`, port: 7000, busPort: 17_000 }]),
);
const goal: FormationGoal = {
  cluster: spec.name,
  engine: spec.engine,
  plan: topology,
  endpoints,
  settings: {},
  nodeTimeoutMilliseconds: 5_000,
};
const idOf = (name: string) => names.indexOf(name).toString(16).padStart(40, "0");

function entryOf(name: string, change: Partial<NodeEntry> = {}): NodeEntry {
  const shard = topology.shards.find((s) => s.nodes.some((n) => n.name === name));
  const leads = shard?.nodes[0]?.name === name;
  return {
    id: idOf(name),
    ...(endpoints[name] ?? { address: "", port: 0, busPort: 0 }),
    role: leads ? "master" : "replica",
    myself: false,
    health: "ok",
    handshake: false,
    noaddr: false,
    ...(leads ? {} : { masterId: idOf(shard?.nodes[0]?.name ?? "") }),
    configEpoch: 1,
    linked: true,
    slots: leads ? (shard?.slots ?? []) : [],
    openSlots: [],
    ...change,
  };
}

/** A whole cluster; `changes` by name are what every view says of a node, `ownWord` what only it says of itself. */
function cluster(
  changes: Record<string, Partial<NodeEntry>> = {},
  ownWord: Record<string, Partial<NodeEntry>> = {},
): AnsweringNode[] {
  return names.map((name) => {
    const view = names.map((other) => ({
      ...entryOf(other, changes[other]),
      ...(other === name ? ownWord[name] : {}),
      myself: other === name,
    }));
    return {
      answering: true,
      name,
      endpoint: endpoints[name] ?? { address: "", port: 0, busPort: 0 },
      id: idOf(name),
      server: { ...goal.engine, clusterEnabled: true },
      view,
      state: "ok",
      currentEpoch: 9,
      keys: 5,
      memory: { usedBytes: 0, maxBytes: 0 },
      replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
      settings: {},
    };
  });
}

const members: Member[] = rememberMembers(goal, [], { nodes: cluster() });
const [first = "", second = "", third = ""] = names;

describe("what is taken as evidence", () => {
  test("a replica that is taken out and never answers again is forgotten, once all call it failed and it owns nothing", () => {
    const rest = {
      ...topology,
      shards: topology.shards.map((s) => ({ ...s, nodes: s.nodes.filter((n) => n.name !== third) })),
    };
    const leaving = { shard: topology.shards[0]?.name ?? "", zone: "" };
    const gone = {
      answering: false as const,
      name: third,
      leaving,
      endpoint: endpoints[third] ?? { address: "", port: 0, busPort: 0 },
      reason: "connection refused",
    };
    const seen = (health: NodeEntry["health"], unaware: string) => ({
      nodes: [
        ...cluster({ [third]: { health } })
          .filter((n) => n.name !== third)
          // One that joined since has never heard of it.
          .map((n) => (n.name === unaware ? { ...n, view: n.view.filter((e) => e.id !== idOf(third)) } : n)),
        gone,
      ],
    });
    const next = (observation: ReturnType<typeof seen>) =>
      plan({ ...goal, plan: rest }, { members, verified: true }, observation);
    const answer = next(seen("fail", first));
    expect(answer).toMatchObject({ kind: "act", phase: "retire" });
    if (answer.kind !== "act") throw new Error(answer.kind);
    const others = names.filter((n) => n !== third && n !== first);
    expect(answer.steps).toEqual(others.map((node) => ({ do: "forget", node, id: idOf(third), formerName: third })));
    expect(next(seen("ok", ""))).toMatchObject({ kind: "refuse", refusals: [{ kind: "silent-node" }] });
  });

  test("a former leader that claims its slots still does not get the elected one's replica", () => {
    const slots = topology.shards[0]?.slots ?? [];
    const elected = {
      [first]: { slots: [], role: "replica", masterId: idOf(second) },
      [second]: { role: "master", slots, configEpoch: 7 },
      [third]: { masterId: idOf(second) },
    } as const;
    const nodes = cluster(elected, { [first]: { role: "master", slots, configEpoch: 1 } });
    expect(layoutOf(goal, { nodes })[0]?.leader?.name).toBe(second);
    const next = plan(goal, { members, verified: true }, { nodes });
    expect(next.kind === "act" ? next.steps : []).toEqual([]);
  });

  test("names that were exchanged make no ID a former one, and nobody is forgotten", () => {
    const nodes = cluster().map((n) =>
      n.name === second
        ? { ...n, name: third, endpoint: endpoints[third] ?? n.endpoint }
        : n.name === third
          ? { ...n, name: second, endpoint: endpoints[second] ?? n.endpoint }
          : n,
    );
    const now = rememberMembers(goal, members, { nodes });
    expect(now.map((m) => m.state)).toEqual(members.map(() => "member"));
    expect(now.find((m) => m.name === second)?.id).toBe(idOf(third));
    expect(staleMembers(members, nodes)).toEqual([]);
  });

  test("an ID that serves on at another address is neither taken over nor forgotten", () => {
    const elsewhere = { address: "10.0.9.9" };
    const fresh = "f".repeat(40);
    const blank = (node: AnsweringNode): AnsweringNode => ({
      ...node,
      id: fresh,
      keys: 0,
      state: "fail",
      view: [{ ...entryOf(first), id: fresh, slots: [], myself: true }],
    });
    const nodes = cluster({ [first]: elsewhere }).map((n) => (n.name === first ? blank(n) : n));
    const former = rememberMembers(goal, members, { nodes }).find((m) => m.id === idOf(first));
    expect(former?.state).toBe("stale");
    expect(former && servesElsewhere(former, nodes)).toBe(true);
    for (const history of [members, rememberMembers(goal, members, { nodes })]) {
      const next = plan(goal, { members: history, verified: true }, { nodes });
      const steps = next.kind === "act" ? next.steps.map((s) => s.do) : [];
      expect(steps).not.toContain("forget");
      expect(steps).not.toContain("failover");
    }
  });

  test("slots are not called lost while a node is silent", () => {
    const nodes = cluster().map((n) =>
      n.name === first || n.name === second || n.name === third
        ? { answering: false as const, name: n.name, endpoint: n.endpoint, reason: "no answer in time" }
        : n,
    );
    const next = plan(goal, { members, verified: true }, { nodes });
    expect(next.kind === "refuse" && [...new Set(next.refusals.map((r) => r.kind))]).toEqual(["silent-node"]);
  });

  test("a shard that was drained and is wanted again is led by whoever leads it, planned first or not", () => {
    const slots = topology.shards[0]?.slots ?? [];
    const other = topology.shards[1]?.nodes[0]?.name ?? "";
    const drained = {
      [first]: { slots: [], role: "replica", masterId: idOf(second) },
      [second]: { role: "master" },
      [third]: { masterId: idOf(second) },
      [other]: { slots: [...slots, ...(topology.shards[1]?.slots ?? [])] },
    } as const;
    const nodes = cluster({ ...drained, [second]: { role: "master", slots: [] } });
    expect(layoutOf(goal, { nodes })[0]?.leader?.name).toBe(second);
    const next = plan(goal, { members, verified: true }, { nodes });
    expect(next.kind === "act" && next.steps.map((s) => [s.do, s.node])).toEqual([["migrateSlots", other]]);
  });
});
