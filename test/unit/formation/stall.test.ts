import { describe, expect, test } from "vitest";
import type { AnsweringNode, ClusterObservation, NodeObservation } from "../../../components/formation/observation";
import { StallWatch } from "../../../components/formation/stall";

const ENDPOINT = { address: "10.0.0.1", port: 7000, busPort: 17_000 };

function replica(progress: string, more: Partial<AnsweringNode["replication"]> = {}): ClusterObservation {
  const node: NodeObservation = {
    answering: true,
    name: "a",
    endpoint: ENDPOINT,
    id: "1".repeat(40),
    server: { name: "redis", version: "7.0.15", clusterEnabled: true },
    view: [],
    state: "ok",
    currentEpoch: 1,
    keys: 0,
    memory: { usedBytes: 0, maxBytes: 0 },
    replication: { linkUp: false, syncing: true, progress, offset: 0, lagSeconds: 0, ...more },
    settings: {},
  };
  return { nodes: [node] };
}

const silent = (reason: string): ClusterObservation => ({
  nodes: [{ answering: false, name: "a", endpoint: ENDPOINT, reason }],
});

describe("a cluster has stalled", () => {
  test("not while a full copy comes further", () => {
    const watch = new StallWatch(0);
    for (let at = 0; at <= 100; at++) expect(watch.look(replica(`${at * 10 + 1}//`), at * 1_000)).toBe(0);
    expect(watch.startedOver("a")).toBe(0);
  });

  test("when it fails and starts over, however different each attempt looks", () => {
    const watch = new StallWatch(0);
    const bytes = [10, 500, 900, 20, 480, 890, 15, 510, 899, 30, 470];
    const still = bytes.map((n, i) => watch.look(replica(`${n}//`), i * 1_000));
    expect(still).toEqual([0, 0, 0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 7_000, 8_000]);
    expect(watch.startedOver("a")).toBe(3);
  });

  test("when the link of a copy that fails comes and goes", () => {
    const watch = new StallWatch(0);
    watch.look(replica("900//"), 0);
    watch.look(replica("", { syncing: false }), 1_000);
    expect(watch.look(replica("800//"), 9_000)).toBe(9_000);
  });

  test("but not when something else became different meanwhile: then a new copy counts from its beginning", () => {
    const watch = new StallWatch(0);
    watch.look(replica("900//"), 0);
    watch.look(replica("", { linkUp: true, syncing: false }), 5_000);
    expect(watch.look(replica("", { linkUp: true, syncing: false }), 6_000)).toBe(1_000);
    expect(watch.look(replica("10//"), 7_000)).toBe(0);
  });

  test("not while a server loads its data; but when it loads them over and over", () => {
    const watch = new StallWatch(0);
    const loading = (bytes: string) => silent(`still loading its data (${bytes} bytes so far)`);
    expect(watch.look(loading("1,000"), 0)).toBe(0);
    expect(watch.look(loading("2,000,000"), 20_000)).toBe(0);
    expect(watch.look(loading("1,000"), 40_000)).toBe(20_000);
    expect(watch.look(loading("1,500,000"), 50_000)).toBe(30_000);
  });
});
