import { describe, expect, test } from "vitest";
import { assess } from "../../../components/formation/assess";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import type { AnsweringNode, ClusterObservation, NodeObservation } from "../../../components/formation/observation";
import { outlineAdoption } from "../../../components/formation/outlineAdoption";
import { plan as planSteps } from "../../../components/formation/plan";
import { planMoves } from "../../../components/formation/rebalance";
import { recognize } from "../../../components/formation/recognize";
import { topologyOf } from "../../../components/topology/hosts";

interface Given {
  readonly name: string;
  readonly slots?: readonly [number, number][];
  readonly of?: string;
  /** Names of the nodes that it knows besides itself. Default: all of the same cluster. */
  readonly cluster?: string;
  readonly keys?: number;
  readonly id?: string;
}

const endpoint = (i: number) => ({ address: `10.0.0.${i + 1}`, port: 6379, busPort: 16_379 });

function observed(given: readonly Given[]): ClusterObservation {
  const entry = (n: Given, i: number, by: Given): NodeEntry => ({
    id: n.id ?? `id-${n.name}`,
    ...endpoint(i),
    role: n.of === undefined ? "master" : "replica",
    ...(n.of === undefined ? {} : { masterId: `id-${n.of}` }),
    myself: n === by,
    health: "ok",
    handshake: false,
    noaddr: false,
    configEpoch: i,
    linked: true,
    slots: (n.slots ?? []).map(([start, end]) => ({ start, end })),
    openSlots: [],
  });
  return {
    nodes: given.map(
      (node, i): AnsweringNode => ({
        answering: true,
        name: node.name,
        endpoint: endpoint(i),
        id: node.id ?? `id-${node.name}`,
        server: { name: "redis", version: "7.0.15", clusterEnabled: true },
        view: given.flatMap((other, j) =>
          other === node || (node.cluster !== undefined && other.cluster === node.cluster)
            ? [entry(other, j, node)]
            : [],
        ),
        state: node.cluster === undefined ? "fail" : "ok",
        currentEpoch: 9,
        keys: node.keys ?? (node.cluster === undefined ? 0 : 7),
        memory: { usedBytes: 0, maxBytes: 0 },
        replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
        settings: {},
      }),
    ),
  };
}

const member = (name: string, more: Partial<Given> = {}): Given => ({ name, cluster: "x", ...more });
/** Somebody's cluster: nothing of it is as this library would have laid it out. */
const odd: Given[] = [
  member("r1", { of: "m3" }),
  member("m1", { slots: [[9_000, 16_383]] }),
  member("r2", { of: "m3" }),
  member("m2", {
    slots: [
      [0, 9],
      [100, 8_999],
    ],
  }),
  member("m3", { slots: [[10, 99]] }),
  member("r3", { of: "m1" }),
];
const zone = (i: number) => ["a", "b", "c"][i % 3] ?? "";
const listed = (given: readonly Given[]) => given.map(({ name }, i) => ({ name, zone: zone(i) }));
const look = (given: readonly Given[], wishes = {}) =>
  recognize("sessions", listed(given), { rebalance: false, ...wishes }, observed(given));
const refusals = (given: readonly Given[], wishes = {}) => {
  const answer = look(given, wishes);
  return answer.kind === "refused" ? answer.refusals.map((r) => `${r.kind}: ${r.message}`) : [answer.kind];
};

function goalOf(given: readonly Given[], wishes = {}) {
  const answer = look(given, wishes);
  if (answer.kind !== "cluster") throw new Error(answer.kind);
  const settings = { minReplicasToWrite: 0, requireFullCoverage: false, allowReadsWhenDown: false };
  const goal = {
    cluster: "sessions",
    engine: { name: "redis" as const, version: "7.0.15" },
    plan: topologyOf(answer.plan, settings),
    endpoints: Object.fromEntries(given.map(({ name }, i) => [name, endpoint(i)])),
    settings: {},
    nodeTimeoutMilliseconds: 2_000,
    given: answer.plan.slotShares ? { slotShares: answer.plan.slotShares } : {},
  };
  return { answer, goal };
}

describe("an existing cluster", () => {
  test("keeps roles and slots, in whatever order hosts are listed and slots are laid out", () => {
    const { answer, goal } = goalOf(odd);
    expect(answer.plan.shards.map((s) => `${s.name}: ${s.nodes.map((n) => n.name).join(" ")}`)).toEqual([
      "shard-0: m2",
      "shard-1: m3 r1 r2",
      "shard-2: m1 r3",
    ]);
    expect(answer.plan.slotShares).toEqual({ "shard-0": 8_910, "shard-1": 90, "shard-2": 7_384 });
    expect(planMoves(goal, observed(odd))).toEqual([]);
    expect(assess(goal, answer.members, observed(odd))).toEqual([]);
    expect(planSteps(goal, { members: answer.members, verified: true }, observed(odd))).toEqual({ kind: "done" });
    expect(outlineAdoption("sessions", observed(odd), answer, goal).join("\n")).toMatch(
      /steps: none: it is taken over as it is/,
    );
  });

  test("is rebalanced only when asked", () => {
    const { answer, goal } = goalOf(odd, { rebalance: true });
    expect(answer.plan.slotShares).toBeUndefined();
    const moved = planMoves(goal, observed(odd)).map((m) => `${m.node}→${m.to}`);
    expect(new Set(moved)).toEqual(new Set(["m2→m3", "m1→m3"]));
    expect(outlineAdoption("sessions", observed(odd), answer, goal).join("\n")).toMatch(
      /change: slots: 8910 \+ 90 \+ 7384 → even over 3 shards[\s\S]*move \d+ slots to m3/,
    );
  });

  test("takes blank hosts beside it as replicas where they are missed", () => {
    const { answer, goal } = goalOf([...odd, { name: "new" }]);
    expect(answer.plan.shards[0]?.nodes.map((n) => n.name)).toEqual(["m2", "new"]);
    expect(answer.members.map((m) => m.name).sort()).toEqual(["m1", "m2", "m3", "r1", "r2", "r3"]);
    expect(outlineAdoption("sessions", observed([...odd, { name: "new" }]), answer, goal).join("\n")).toMatch(
      /new: join the cluster[\s\S]*new: replicate m2/,
    );
  });

  test("with an even spread needs no shares, so that it stays even when it is scaled", () => {
    const even = [
      member("a", { slots: [[0, 5_460]] }),
      member("b", { slots: [[5_461, 10_922]] }),
      member("c", { slots: [[10_923, 16_383]] }),
    ];
    expect(goalOf(even).answer.plan.slotShares).toBeUndefined();
  });
});

describe("blank hosts", () => {
  const blank = ["a", "b", "c", "d", "e", "f"].map((name) => ({ name }));
  test("are to be formed", () => expect(look(blank)).toMatchObject({ kind: "blank" }));

  test("as are those on which formation was interrupted", () => {
    const answer = look(blank);
    const first = answer.kind === "blank" ? answer.plan.shards[0] : undefined;
    const begun = blank.map((n) =>
      n.name === first?.nodes[0]?.name
        ? { ...n, slots: first.slots.map((r): [number, number] => [r.start, r.end]) }
        : n,
    );
    expect(look(begun)).toEqual(answer);
    // The same slots with a key among them are somebody's.
    expect(refusals(begun.map((n) => ("slots" in n ? { ...n, keys: 1 } : n)))).toEqual([
      expect.stringMatching(/^data-lost: .*not whole: 10923 slots have no owner/),
    ]);
  });
});

describe("is refused, with evidence", () => {
  test("a cluster whose nodes are not all listed", () => {
    const without = { nodes: observed(odd).nodes.filter((n) => n.name !== "r2") };
    const answer = recognize(
      "sessions",
      listed(odd).filter((h) => h.name !== "r2"),
      { rebalance: false },
      without,
    );
    expect(answer).toMatchObject({ kind: "refused", refusals: [{ kind: "foreign-node", subject: "id-r2" }] });
    expect(JSON.stringify(answer)).toMatch(/m1, m2, m3, r1, r3|know node id-r2 at 10\.0\.0\.3:6379/);
  });

  test("two clusters at once", () => {
    const both = [...odd, { name: "o1", cluster: "y", slots: [[0, 16_383]] as [number, number][] }];
    expect(refusals(both)).toEqual([
      expect.stringMatching(/^two-clusters: .*2 clusters that own slots: .*o1 \(16384 slots, 7 keys\)/),
    ]);
  });

  test("slots without an owner, one master alone, another number of masters than declared, keys on a host of no cluster", () => {
    expect(refusals(odd.map((n) => (n.name === "m3" ? { ...n, slots: [[10, 98]] as [number, number][] } : n)))).toEqual(
      ["data-lost: the hosts are a cluster that is not whole: 1 slots have no owner: 99"],
    );
    expect(
      refusals([member("a", { slots: [[0, 16_383]] }), member("b", { of: "a" }), member("c", { of: "a" })]),
    ).toEqual([expect.stringMatching(/^other-layout: the hosts are a cluster of 1 master/)]);
    expect(refusals(odd, { masters: 5 })).toEqual([
      expect.stringMatching(/masters: 5 is declared, and the hosts are a cluster of 3/),
    ]);
    expect(refusals([...odd, { name: "used", keys: 3 }])).toEqual([
      "data-on-new-node: used is in no cluster and holds 3 keys",
    ]);
  });

  test("a host that is silent, one without cluster mode, and one that is given twice, all at once", () => {
    const { nodes } = observed([...odd, member("again", { id: "id-m1" })]);
    const broken = nodes.map((n): NodeObservation => {
      if (n.name === "r1") return { answering: false, name: "r1", endpoint: n.endpoint, reason: "connection refused" };
      if (n.name === "r2" && n.answering) return { ...n, server: { ...n.server, clusterEnabled: false } };
      return n;
    });
    const answer = recognize("sessions", listed([...odd, { name: "again" }]), { rebalance: false }, { nodes: broken });
    expect(answer.kind === "refused" ? answer.refusals.map((r) => `${r.kind} ${r.subject}`) : []).toEqual([
      "silent-node r1",
      "not-cluster-mode r2",
      "duplicate-id again",
    ]);
  });
});
