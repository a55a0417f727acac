import { describe, expect, test } from "vitest";
import { describeDrift } from "../../../components/formation/drift";
import { apply, settle } from "../../../components/formation/forecast";
import type { FormationGoal } from "../../../components/formation/goal";
import { rememberMembers } from "../../../components/formation/members";
import type { AnsweringNode, ClusterObservation, NodeObservation } from "../../../components/formation/observation";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

const plan = place(specOf(3, 1, 3));
const names = plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
const goal: FormationGoal = {
  cluster: "sessions",
  engine: { name: "redis", version: "7.0" },
  plan,
  endpoints: Object.fromEntries(names.map((n, i) => [n, { address: `10.0.0.${i}`, port: 7000, busPort: 17_000 }])),
  settings: { maxmemory: "100" },
  nodeTimeoutMilliseconds: 5_000,
};
const blank = (name: string, i: number): AnsweringNode => {
  const endpoint = goal.endpoints[name] ?? { address: "", port: 0, busPort: 0 };
  const id = `${i}`.repeat(40);
  const flags = { role: "master", myself: true, health: "ok", handshake: false, noaddr: false, linked: true } as const;
  return {
    answering: true,
    name,
    endpoint,
    id,
    server: { name: "redis", version: "7.0.15", clusterEnabled: true },
    view: [{ id, ...endpoint, ...flags, configEpoch: i, slots: [], openSlots: [] }],
    state: "ok",
    currentEpoch: 9,
    keys: 1,
    memory: { usedBytes: 0, maxBytes: 0 },
    replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
    settings: { maxmemory: "100" },
  };
};

/** The cluster as planned. */
function whole(): ClusterObservation {
  let now: ClusterObservation = { nodes: names.map(blank) };
  const idOf = (name: string) => now.nodes.flatMap((n) => (n.answering && n.name === name ? [n.id] : []))[0] ?? "";
  for (const { name: shard, slots, nodes } of plan.shards) {
    const [leader = "", ...replicas] = nodes.map((n) => n.name);
    now = apply(now, { do: "addSlotsRange", node: leader, shard, slots });
    for (const node of replicas)
      now = apply(now, { do: "replicate", node, shard, master: leader, masterId: idOf(leader) });
  }
  for (const peer of names.slice(1)) {
    const { address, port, busPort } = goal.endpoints[peer] ?? { address: "", port: 0, busPort: 0 };
    now = apply(now, { do: "meet", node: names[0] ?? "", peer, address, port, busPort });
  }
  return settle(now);
}

const members = rememberMembers(goal, [], whole());
const drift = (o: ClusterObservation) => describeDrift(goal, members, o);
const changed = (change: (n: AnsweringNode) => NodeObservation): ClusterObservation => ({
  nodes: whole().nodes.map((n) => (n.answering ? change(n) : n)),
});

describe("drift, as a refresh shows it", () => {
  test("of a cluster as declared: nothing", () => expect(drift(whole())).toEqual([]));

  test("one line a difference, by topic, whatever order nodes are seen in", () => {
    const now = changed((n) => ({
      ...n,
      settings: n.name === names[4] || n.name === names[1] ? { maxmemory: "200" } : n.settings,
    }));
    const lines = drift(now);
    expect(lines).toEqual([`setting: ${names[1]}, ${names[4]} have maxmemory "200", declared "100"`]);
    expect(drift({ nodes: now.nodes })).toEqual(lines);
    const everywhere = changed((n) => ({ ...n, settings: { maxmemory: "0" } }));
    expect(drift(everywhere)).toEqual(['setting: all 6 nodes that answer have maxmemory "0", declared "100"']);
  });

  test("of slots: those that lie where they do not belong", () => {
    const [from, to] = [plan.shards[0], plan.shards[1]];
    const moved = settle(
      apply(whole(), {
        do: "migrateSlots",
        node: from?.nodes[0]?.name ?? "",
        nodeId: "",
        shard: "",
        to: to?.nodes[0]?.name ?? "",
        toId: "",
        toEndpoint: { address: "", port: 0, busPort: 0 },
        slots: [{ start: 0, end: 1 }],
      }),
    );
    expect(drift(moved)).toEqual(["slots: 2 slots are not where an even spread over 3 shards has them"]);
  });

  test("of roles: masters that crowd a zone", () => {
    const heir = plan.shards[0]?.nodes[1];
    const over = settle(
      apply(whole(), {
        do: "failover",
        node: heir?.name ?? "",
        shard: "shard-0",
        from: plan.shards[0]?.nodes[0]?.name ?? "",
      }),
    );
    expect(drift(over)).toEqual([
      expect.stringMatching(new RegExp(`^role: zone ${heir?.zone} holds 2 of 3 masters \\(shard-., shard-.\\)`)),
    ]);
  });

  test("a node that does not answer is one line, whatever the others have noticed of it yet", () => {
    const victim = names[1] ?? "";
    const silent = (health: "ok" | "fail?" | "fail"): string[] =>
      drift(
        changed((n) =>
          n.name === victim
            ? { answering: false, name: n.name, endpoint: n.endpoint, reason: "connection refused" }
            : { ...n, view: n.view.map((e) => (e.address === goal.endpoints[victim]?.address ? { ...e, health } : e)) },
        ),
      );
    expect(silent("ok")).toEqual([`node: ${victim} at 10.0.0.1:7000 does not answer: connection refused`]);
    expect(silent("fail?")).toEqual(silent("ok"));
    expect(silent("fail")).toEqual(silent("ok"));
  });

  test("a foreign node is one line, also while only some have heard of it", () => {
    const stranger = { ...blank("x", 9), endpoint: { address: "10.9.9.9", port: 1, busPort: 2 } };
    const entry = { ...(stranger.view[0] ?? ({} as never)), address: "10.9.9.9", port: 1, myself: false };
    const known = changed((n) => (names.indexOf(n.name) < 2 ? { ...n, view: [...n.view, entry] } : n));
    expect(drift(known)).toEqual([`member: foreign node ${"9".repeat(40)} at 10.9.9.9:1 is in the cluster`]);
  });
});
