import { describe, expect, test } from "vitest";
import { ForgottenWatch } from "../../../components/formation/forgotten";
import type { Member } from "../../../components/formation/goal";
import type { AnsweringNode, ClusterObservation } from "../../../components/formation/observation";

const endpoint = { address: "127.0.0.1", port: 7000, busPort: 17000 };
const member = (id: string): Member => ({ name: id, shard: "shard-0", zone: "a", id, endpoint, state: "member" });
const MEMBERS = ["a", "b", "c"].map(member);

function seen(views: Record<string, string[]>, version = "8.0.2", leaving?: string): ClusterObservation {
  const nodes = Object.entries(views).map(([id, ids]) => ({
    name: id,
    answering: true,
    id,
    server: { name: "redis", version, clusterEnabled: true },
    view: ids.map((other) => ({ id: other })),
    ...(id === leaving ? { leaving: {} } : {}),
  }));
  return { nodes: nodes as unknown as AnsweringNode[] } as ClusterObservation;
}
const WHOLE = { a: ["a", "b", "c"], b: ["a", "b", "c"], c: ["a", "b", "c"] };
const HALF = { ...WHOLE, a: ["a", "b"] };

const T = 2_000;

describe("a member that others do not list any more", () => {
  test("is not done with until everybody has listed it for as long as it takes to hear of a FORGET", () => {
    const watch = new ForgottenWatch(MEMBERS, T);
    watch.look(seen(WHOLE), 0);
    expect([watch.isUnsettled(0), watch.patience(15_000), watch.text(0)]).toEqual([false, 15_000, ""]);
    watch.look(seen(HALF), 1_000);
    watch.look(seen(WHOLE), 2_000);
    expect([watch.isUnsettled(3_999), watch.isUnsettled(4_000)]).toEqual([true, false]);
    // Forgotten once more, by gossip or by hand.
    watch.look(seen(HALF), 3_000);
    expect([watch.isUnsettled(5_999), watch.isUnsettled(6_000)]).toEqual([true, false]);
    expect(watch.patience(15_000)).toBeGreaterThan(62_000);
    expect(watch.patience(120_000)).toBe(120_000);
    expect(watch.text(3_500)).toContain("not known to all: c (");
    expect(watch.text(6_000)).toBe("");
  });

  test("is waited for no longer than servers stay with it, however long the node timeout", () => {
    const watch = new ForgottenWatch(MEMBERS, 600_000);
    watch.look(seen(HALF), 0);
    expect([watch.isUnsettled(61_999), watch.isUnsettled(62_000)]).toEqual([true, false]);
  });

  test.for([
    ["before 7.2, where nobody else hears of it", MEMBERS, seen(HALF, "7.0.15")],
    ["in a cluster that was never verified", [], seen(HALF)],
    ["that leaves", MEMBERS, seen(HALF, "8.0.2", "c")],
    ["that came back with another ID", MEMBERS.slice(0, 2), seen(HALF)],
    [
      "that knows only itself: it has not joined yet, or was reset",
      MEMBERS,
      seen({ ...HALF, b: ["a", "b"], c: ["c"] }),
    ],
  ] as const)("%s, is no reason to wait", ([, members, observation]) => {
    const watch = new ForgottenWatch(members, T);
    watch.look(observation, 0);
    expect(watch.isUnsettled(1)).toBe(false);
  });
});
