import { EventEmitter } from "node:events";
import { expect, test, vi } from "vitest";
import { clusterOptions, watchCluster } from "../../../components/client";
import { anInventory, OPEN, tunnelsTo } from "./samples";

const SHARES = [
  [0, 5460],
  [5461, 10922],
  [10923, 16383],
] as const;

/** A client whose slots are as given: master and replicas of each of the three shares. */
class Client extends EventEmitter {
  slots: string[][] = [];
  look(...shares: string[][]): void {
    this.slots = [];
    SHARES.forEach(([first, last], i) => {
      const keys = [...(shares[i] ?? [])];
      for (let slot = first; slot <= last; slot++) this.slots[slot] = keys;
    });
    this.emit("refresh");
  }
}

function watched(settings = {}) {
  const client = new Client();
  const told: unknown[][] = [];
  const { nodes } = clusterOptions(anInventory(), OPEN, settings);
  const tell = (event: string) => (what: unknown, node?: unknown) =>
    void told.push(node ? [event, what, node] : [event, what]);
  const unwatch = watchCluster(client, nodes, {
    failover: ({ slots, from, to }) => told.push(["failover", slots, from.name, to.name]),
    slotsMoved: ({ slots, from, to }) => told.push(["moved", slots, from.name, to.name]),
    joined: tell("joined"),
    left: ({ name }) => told.push(["left", name]),
    nodeError: (error, { name, zone }) => told.push(["error", error.message, name, zone]),
    unreachable: (error) => told.push(["unreachable", error.message]),
  });
  return { client, told, unwatch };
}

const [A, B, C] = [
  ["10.0.1.5:6379", "10.0.2.6:6379"],
  ["10.0.2.5:6379", "10.0.3.6:6379"],
  ["10.0.3.5:6379", "10.0.1.6:6379"],
] as const;

test("a failover, a node that went and one that nobody knows, in the inventory's words", () => {
  const { client, told, unwatch } = watched();
  client.look([...A], [...B], [...C]);
  client.look([...A], [...B], [...C]);
  expect(told).toEqual([]);
  client.look([A[1]], [...B, "10.0.9.9:7000"], [...C]);
  expect(told).toEqual([
    ["joined", { name: "10.0.9.9:7000", zone: "", shard: "", host: "10.0.9.9", port: 7000 }],
    ["failover", ["0-5460"], "sessions-0-zone-a", "sessions-0-zone-b"],
    ["left", "sessions-0-zone-a"],
  ]);
  unwatch();
  client.look([...A], [...B], [...C]);
  expect(told).toHaveLength(3);
});

test("slots that move to another shard are no failover", () => {
  const { client, told } = watched();
  client.look([...A], [...B], [...C]);
  for (const slot of [0, 1, 2, 100]) client.slots[slot] = [...B];
  client.emit("refresh");
  expect(told).toEqual([["moved", ["0-2", "100"], "sessions-0-zone-a", "sessions-1-zone-b"]]);
});

test("through tunnels nodes keep their names, whichever way they are called", () => {
  const inventory = anInventory();
  const { client, told } = watched({ tunnels: tunnelsTo(inventory) });
  client.look(["127.0.0.1:16379"], ["127.0.0.1:16381"], ["127.0.0.1:16383"]);
  client.look(["10.0.1.5:6379"], ["127.0.0.1:16381"], ["127.0.0.1:16383"]);
  expect(told).toEqual([]);
  client.emit("node error", new Error("Connection is closed."), "127.0.0.1:16384");
  expect(told).toEqual([["error", "Connection is closed.", "sessions-2-zone-a", "zone-a"]]);
});

test("the same error of a node is told once in five seconds, another one at once", () => {
  vi.useFakeTimers();
  try {
    const { client, told } = watched();
    for (let i = 0; i < 50; i++) client.emit("node error", new Error("refused"), A[0]);
    client.emit("node error", new Error("another"), A[0]);
    client.emit("nodeError", new Error("refused"), A[1]);
    expect(told).toHaveLength(3);
    vi.advanceTimersByTime(5_000);
    client.emit("node error", new Error("refused"), A[0]);
    expect(told).toHaveLength(4);
    client.emit("error", new Error("Failed to refresh slots cache."));
    expect(told.at(-1)).toEqual(["unreachable", "Failed to refresh slots cache."]);
  } finally {
    vi.useRealTimers();
  }
});
