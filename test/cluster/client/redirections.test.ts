import { Cluster } from "ioredis";
import { expect, type TestContext, test, vi } from "vitest";
import { handleChanges, ioredisOptions, transact } from "../../../components/client";
import { programFor, until } from "../../support/formation";
import { ChangingCluster, keyIn } from "../scale/support";

const SLOT = 100;

/** As applications are told to make it. */
function clientOf(cluster: ChangingCluster, context: TestContext): Cluster {
  const seeds = Object.values(cluster.goal.endpoints).map(({ address, port }) => ({ host: address, port }));
  const client = handleChanges(new Cluster(seeds, ioredisOptions));
  client.on("error", () => {});
  context.onTestFinished(() => client.disconnect());
  return client;
}

/** A master that has just joined owns nothing yet, so that no client knows it: the hardest target of a redirection. */
test.for(["redis-7.0", "valkey-9.1"] as const)(
  "%s: on a slot that moves to a master nobody knows, transactions and multi-key commands get through",
  async (server, context) => {
    const cluster = await ChangingCluster.start(await programFor(context, server), {
      masters: 3,
      replicas: 0,
      zones: 3,
    });
    context.onTestFinished(() => cluster.stop());
    const client = clientOf(cluster, context);
    // On the side that moves away, so that a transaction over it and a new key is on neither side as a whole.
    await client.set(keyIn(SLOT, 0), "old");

    const before = new Set(cluster.names);
    await cluster.declare({ masters: 4, replicas: 0, zones: 3 });
    const [source = ""] = await cluster.leaders();
    const target = cluster.names.find((name) => !before.has(name)) ?? "";
    const { address, port, busPort } = cluster.endpoint(target);
    await cluster.call(source, "CLUSTER", "MEET", address, port, busPort);
    const knows = async (name: string) =>
      String(await cluster.call(name, "CLUSTER", "NODES"))
        .split("\n")
        .filter((line) => / connected/.test(line) && !line.includes("handshake")).length;
    await until("all four know each other", async () =>
      (await Promise.all(cluster.names.map(knows))).every((count) => count === 4),
    );
    const [sourceId, targetId] = [
      String(await cluster.call(source, "CLUSTER", "MYID")),
      String(await cluster.call(target, "CLUSTER", "MYID")),
    ];
    await cluster.call(target, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", sourceId);
    await cluster.call(source, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", targetId);

    const fresh = keyIn(SLOT, 1);
    expect(await transact(client, fresh, (multi) => multi.set(fresh, "new").get(fresh))).toEqual([
      [null, "OK"],
      [null, "new"],
    ]);
    // One key on each side, and two on neither: both wait until the slot has moved.
    let done = 0;
    const both = transact(client, fresh, (multi) => multi.set(keyIn(SLOT, 0), "newer").set(fresh, "newer"));
    const neither = transact(client, fresh, (multi) => multi.set(keyIn(SLOT, 2), "new").set(keyIn(SLOT, 3), "new"));
    const mset = client.mset({ [keyIn(SLOT, 4)]: "new", [keyIn(SLOT, 5)]: "new" });
    for (const each of [both, neither, mset]) void each.then(() => done++);
    // Every look at the slots closes the connection to the new master, with an ASKING under way now and then, whose
    // rejection must be somebody's. Longer than ioredis's own patience with redirections.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(done).toBe(0);
    await cluster.call(source, "MIGRATE", address, port, keyIn(SLOT, 0), 0, 5_000);
    for (const name of [target, source]) await cluster.call(name, "CLUSTER", "SETSLOT", SLOT, "NODE", targetId);
    expect(await both).toEqual([
      [null, "OK"],
      [null, "OK"],
    ]);
    expect(await neither).toHaveLength(2);
    expect(await mset).toBe("OK");
    const keys = [0, 1, 2, 3, 4, 5].map((n) => keyIn(SLOT, n));
    expect(await client.mget(...keys)).toEqual(["newer", "newer", "new", "new", "new", "new"]);
  },
);

test("a node that has just left the cluster is asked for the slots: the client keeps its connections", async (context) => {
  const cluster = await ChangingCluster.start(await programFor(context, "redis-7.0"), {
    masters: 3,
    replicas: 1,
    zones: 3,
  });
  context.onTestFinished(() => cluster.stop());
  const client = clientOf(cluster, context);
  await until("all nodes are known", () => client.nodes("all").length === 6);
  let begunAnew = 0;
  client.on("close", () => begunAnew++);
  const [first] = client.nodes("all");
  const left = cluster.names.find((name) => cluster.endpoint(name).port === first?.options.port) ?? "";
  await cluster.call(left, "CLUSTER", "RESET", "HARD");
  expect(await cluster.call(left, "CLUSTER", "SLOTS")).toEqual([]);
  // ioredis shuffles whom it asks; like this they stay in order.
  const random = vi.spyOn(Math, "random").mockReturnValue(0.999_999);
  try {
    await new Promise<void>((resolve, reject) =>
      client.refreshSlotsCache((error) => (error ? reject(error) : resolve())),
    );
  } finally {
    random.mockRestore();
  }
  expect(client.nodes("all").length).toBeGreaterThanOrEqual(5);
  const other = cluster.goal.plan.shards.find((shard) => shard.nodes.every(({ name }) => name !== left));
  expect(await client.get(keyIn(other?.slots[0]?.start ?? 0))).toBe(null);
  expect(begunAnew).toBe(0);
});
