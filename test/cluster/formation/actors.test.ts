import { describe, expect, type TestContext, test } from "vitest";
import { layoutOf } from "../../../components/formation/layout";
import { AnotherActor, EXECUTOR_PREFIX } from "../../../components/formation/lock";
import { formationRunner } from "../../../components/formation/runner/formation";
import { guardRunner } from "../../../components/formation/runner/guard";
import { Connections } from "../../../components/formation/wire";
import { failureOf, programFor, TestCluster, until } from "../../support/formation";
import { guardInputs } from "./support";

async function start(context: TestContext, replicas = 1): Promise<TestCluster> {
  const cluster = await TestCluster.start({
    program: await programFor(context, "redis-7.0"),
    masters: 3,
    replicas,
    zones: 3,
    nodeTimeoutMilliseconds: 2_000,
  });
  context.onTestFinished(() => cluster.stop());
  return cluster;
}

describe("one actor at a time", { timeout: 60_000 }, () => {
  test("two runs at once: both end well, and the second has waited", async (context) => {
    const cluster = await start(context);
    const lines: string[] = [];
    const both = await Promise.all(
      [1, 2].map(() => cluster.reconcile(undefined, { onProgress: (line) => lines.push(line) })),
    );
    expect(both[0]?.members).toEqual(both[1]?.members);
    expect(lines.filter((l) => l.startsWith("waiting for another run to end"))).toHaveLength(1);
  });

  test("a run that stays is named, and nothing is changed; when its connection is gone, so is its lock", async (context) => {
    const cluster = await start(context);
    const other = new Connections(`${EXECUTOR_PREFIX}someone-else`, cluster.access);
    for (const name of cluster.names) await other.send(cluster.endpoint(name), [["PING"]]);
    const failure = await failureOf(cluster.reconcile(undefined, { patienceMilliseconds: 300 }));
    expect(failure.cause).toBeInstanceOf(AnotherActor);
    expect(failure.message).toMatch(
      /another run \(pulumi-redis-cluster:executor:someone-else, connected from 127\.0\.0\.1:\d+ for \d+ s\) is changing this cluster/,
    );
    for (const view of await cluster.send(["CLUSTER", "NODES"]))
      expect(String(view).trim().split("\n")).toHaveLength(1);
    other.close();
    await cluster.reconcile();
    const clients = await cluster.send(["CLIENT", "LIST"]);
    await until("no executor is connected any more", async () =>
      (await cluster.send(["CLIENT", "LIST"])).every((list) => !String(list).includes(EXECUTOR_PREFIX)),
    );
    expect(clients).toHaveLength(6);
  });
});

describe("the guard before a machine", { timeout: 90_000 }, () => {
  test("lets a blank node pass, hands leadership over without losing a key, lets replicas go, keeps last copies", async (context) => {
    const cluster = await start(context);
    const [master = "", replica = ""] = cluster.names;
    await guardRunner.create?.(guardInputs(cluster, master));
    await cluster.reconcile();
    await cluster.fill(400);
    await guardRunner.create?.(guardInputs(cluster, master));
    await guardRunner.create?.(guardInputs(cluster, replica));

    await guardRunner.delete?.("guard", guardInputs(cluster, master));
    expect(await cluster.sendTo(replica, ["ROLE"])).toContain("master");
    expect(await cluster.missing(400)).toEqual([]);
    // It is a replica now: nothing is left to hand over.
    await guardRunner.delete?.("guard", guardInputs(cluster, master));
    expect(await cluster.sendTo(replica, ["ROLE"])).toContain("master");

    await cluster.killNode(master);
    await until("the leader has lost its replica", async () =>
      /connected_slaves:0/.test(String(await cluster.sendTo(replica, ["INFO", "replication"]))),
    );
    await expect(guardRunner.delete?.("guard", guardInputs(cluster, replica))).rejects.toThrow(
      /owns 5461 slots and has no replica in sync/,
    );
    await guardRunner.delete?.("guard", guardInputs(cluster, replica, { dataOnDestroy: "delete" }));
    await guardRunner.delete?.("guard", guardInputs(cluster, replica, { replicasPerMaster: 0 }));
    // A silent machine goes once the others say that it is out of service.
    const peers = cluster.names.filter((n) => n !== master).map((n) => cluster.endpoint(n));
    await until("the others have no link to it", async () => {
      const { address, port } = cluster.endpoint(master);
      const views = await Promise.all(
        cluster.names.filter((n) => n !== master).map((n) => cluster.sendTo(n, ["CLUSTER", "NODES"])),
      );
      return views.every((view) =>
        String(view)
          .split("\n")
          .some((line) => line.includes(`${address}:${port}@`) && line.includes(" disconnected")),
      );
    });
    await guardRunner.delete?.("guard", guardInputs(cluster, master, { peers }));
    await guardRunner.delete?.("guard", guardInputs(cluster, master, { dataOnDestroy: "delete" }));
    expect(await cluster.sendTo(replica, ["CLUSTER", "INFO"])).toMatch(/cluster_slots_assigned:16384/);
  });

  test("keeps a replica whose master is gone, until it was elected", async (context) => {
    const cluster = await start(context);
    await cluster.reconcile();
    await cluster.fill(100);
    const [master = "", replica = ""] = cluster.names;
    await cluster.sendTo(replica, ["CONFIG", "SET", "cluster-replica-no-failover", "yes"]);
    await cluster.killNode(master);
    await expect(guardRunner.delete?.("guard", guardInputs(cluster, replica))).rejects.toThrow(
      /may hold the last copy/,
    );
    await guardRunner.delete?.("guard", guardInputs(cluster, replica, { dataOnDestroy: "delete" }));
  });

  test("holds nobody for the lack of a replica once the whole cluster was destroyed", async (context) => {
    const cluster = await start(context);
    const { members, layout } = await cluster.reconcile();
    await cluster.fill(10);
    const [master = "", replica = ""] = cluster.names;
    await cluster.killNode(replica);
    const goal = { ...cluster.goal, cluster: "destroyed-one" };
    await formationRunner.delete?.("id", {
      ...goal,
      declaration: { defaultsVersion: 1, given: [] },
      access: cluster.access,
      members,
      shards: [],
      issues: [],
      unfinished: "",
      verifiedAt: "",
    });
    await guardRunner.delete?.("guard", guardInputs(cluster, master, { cluster: goal.cluster }));
    expect(layoutOf(cluster.goal, await cluster.observe()).map((s) => s.leader?.name)).toEqual(
      layout.map((s) => s.leader?.name),
    );
  });
});
