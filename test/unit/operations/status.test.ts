import { describe, expect, it } from "vitest";
import { inventoryOfView } from "../../../components/operations/discover";
import { goalOfInventory } from "../../../components/operations/goal";
import { readInventories } from "../../../components/operations/readInventory";
import { reportStatus } from "../../../components/operations/status";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";
import { healthy, inventoryOf, OBSERVED_AT, onNode, silence } from "./support";

describe("reportStatus", () => {
  const inventory = inventoryOf();
  const [first, second] = inventory.shards.map((s) => s.nodes[0]?.name ?? "");

  it("finds nothing to say about a healthy cluster", () => {
    const report = reportStatus(inventory, healthy(inventory), OBSERVED_AT);
    expect(report).toMatchObject({
      healthy: true,
      slots: { assigned: 16384, ok: 16384 },
      issues: [],
      observedAt: OBSERVED_AT,
    });
    expect(report.engine).toEqual({ name: "valkey", version: "9.1.0" });
    expect(report.shards[0]).toMatchObject({
      name: "shard-0",
      slots: ["0-5460"],
      nodes: [
        { role: "master", link: "up", zone: "zone-a", address: "127.0.1.1", port: 7001 },
        { role: "replica", link: "up", lag: { bytes: 0, seconds: 0 } },
      ],
    });
  });

  it("says one sentence about a node that everybody doubts, and counts its slots as assigned but not served", () => {
    const report = reportStatus(inventory, silence(healthy(inventory), first ?? "", "fail"), OBSERVED_AT);
    expect(report.healthy).toBe(false);
    expect(report.nodes).toEqual({ total: 6, answering: 5 });
    expect(report.slots).toEqual({ assigned: 16384, ok: 16384 - 5461 });
    const doubts = report.issues.filter((i) => i.kind === "flagged-node");
    expect(doubts).toHaveLength(1);
    expect(doubts[0]?.message).toMatch(/^5 of 5 answering nodes mark .* as fail$/);
    expect(report.shards[0]?.nodes[0]).toMatchObject({ role: "master", link: "down", answers: false });
    for (const issue of report.issues) expect(issue.remedy).not.toBe("");
  });

  it("says once that the way to all nodes fails, and why", () => {
    const nodes = healthy(inventory).nodes.map(({ name, endpoint }) => ({
      answering: false as const,
      name,
      endpoint,
      reason: "proxy root@bastion:22: connection refused; is it running?",
    }));
    const { issues } = reportStatus(inventory, { nodes }, OBSERVED_AT);
    expect(issues.filter((i) => i.kind === "silent-node").map((i) => [i.subject, i.message])).toEqual([
      ["cluster", "6 nodes cannot be reached: proxy root@bastion:22: connection refused; is it running?"],
    ]);
  });

  it("measures replication lag against the master of the shard", () => {
    const replica = inventory.shards[1]?.nodes[1]?.name ?? "";
    const behind = onNode(healthy(inventory), replica, (n) => ({
      ...n,
      replication: { ...n.replication, offset: 4000, lagSeconds: 3 },
    }));
    const report = reportStatus(inventory, behind, OBSERVED_AT);
    expect(report.shards[1]?.nodes[1]?.lag).toEqual({ bytes: 1000, seconds: 3 });
    expect(report.shards[1]?.nodes[0]?.lag).toBeUndefined();
    expect(report.healthy).toBe(true);
  });

  it("tells open slots, a cluster that is down and a replica without its master", () => {
    let observation = onNode(healthy(inventory), second ?? "", (n) => ({
      ...n,
      state: "fail",
      view: n.view.map((e) =>
        e.myself ? { ...e, openSlots: [{ slot: 6000, direction: "migrating" as const, peerId: "f".repeat(40) }] } : e,
      ),
    }));
    const replica = inventory.shards[2]?.nodes[1]?.name ?? "";
    observation = onNode(observation, replica, (n) => ({ ...n, replication: { ...n.replication, linkUp: false } }));
    const report = reportStatus(inventory, observation, OBSERVED_AT);
    expect(report.issues.map((i) => i.kind).sort()).toEqual(["open-slot", "replica-link", "state-fail"]);
    expect(report.shards[2]?.nodes[1]?.link).toBe("down");
  });

  it("is the same text for the same observation", () => {
    const observation = silence(healthy(inventory), first ?? "", "fail");
    const text = JSON.stringify(reportStatus(inventory, observation, OBSERVED_AT));
    expect(JSON.stringify(reportStatus(inventory, structuredClone(observation), OBSERVED_AT))).toBe(text);
  });
});

describe("goalOfInventory", () => {
  it.each([
    [3, 0, 3],
    [3, 1, 3],
    [3, 1, 1],
    [4, 1, 2],
    [4, 1, 3],
    [5, 2, 3],
    [9, 1, 3],
  ])("keeps the promises of %i masters with %i replicas in %i zones", (masters, replicas, zones) => {
    const goal = goalOfInventory(inventoryOf(masters, replicas, zones));
    const plan = place(specOf(masters, replicas, zones));
    expect(goal.plan.promises).toEqual(plan.promises);
    expect(goal.plan.shards).toEqual(plan.shards);
  });
});

describe("inventoryOfView", () => {
  const inventory = inventoryOf();
  const [seed] = healthy(inventory).nodes;

  it("makes shards in the order of their slots from one node's view", () => {
    if (!seed?.answering) throw new Error("no seed");
    const found = inventoryOfView(seed.view, seed.endpoint, { name: "valkey", version: "9.1.0" }, 5000);
    expect(found.shards.map((s) => s.slots)).toEqual(inventory.shards.map((s) => s.slots));
    expect(found.shards.map((s) => s.nodes.map((n) => n.id))).toEqual(
      inventory.shards.map((s) => s.nodes.map((n) => n.id)),
    );
    expect(reportStatus(found, renamed(), OBSERVED_AT)).toMatchObject({ healthy: true });
  });

  it("tells a member that owns nothing", () => {
    if (!seed?.answering) throw new Error("no seed");
    const view = seed.view.map((e) =>
      e.masterId === inventory.shards[0]?.nodes[0]?.id ? { ...withoutMaster(e), role: "master" as const } : e,
    );
    const found = inventoryOfView(view, seed.endpoint, { name: "valkey", version: "9.1.0" }, 5000);
    expect(found.shards.at(-1)).toMatchObject({ name: "no shard", slots: [] });
    const nodes = renamed().nodes.map((n) =>
      n.answering ? { ...n, view: view.map((e) => ({ ...e, myself: e.id === n.id })) } : n,
    );
    expect(reportStatus(found, { nodes }, OBSERVED_AT).issues.map((i) => i.kind)).toEqual(["loose-node"]);
  });

  /** The same nodes under the names that discovery gives. */
  function renamed() {
    return { nodes: healthy(inventory).nodes.map((n) => ({ ...n, name: `${n.endpoint.address}:${n.endpoint.port}` })) };
  }
  function withoutMaster<T extends { masterId?: string }>({ masterId: _gone, ...rest }: T) {
    return rest;
  }
});

describe("readInventories", () => {
  const inventory = inventoryOf();

  it("reads one inventory, or several under names of their own", () => {
    expect(readInventories(JSON.stringify(inventory), "file")).toEqual([inventory]);
    const other = { ...inventory, name: "other" };
    const outputs = JSON.stringify({ redis: inventory, jobs: other, seeds: ["127.0.0.1:1"] });
    expect(readInventories(outputs, "file").map((i) => i.name)).toEqual(["other", "sessions"]);
  });

  it.each([
    ["", "is not JSON"],
    ["[]", "holds no inventory"],
    ['{"shards":[]}', "holds no inventory"],
    [JSON.stringify({ ...inventory, version: 99 }), "update the package"],
  ])("says what is wrong with %j", (text, sentence) => {
    expect(() => readInventories(text, "file")).toThrow(sentence);
  });
});
