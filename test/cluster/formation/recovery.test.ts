import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, type TestContext, test } from "vitest";
import type { Member } from "../../../components/formation/goal";
import { crowdedZones, layoutOf } from "../../../components/formation/layout";
import type { Reconciled } from "../../../components/formation/reconcile";
import { failureOf, formedCluster, freeEndpoints, type TestCluster, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";

const KEYS = 600;
/** By default the oldest and the newest server; the others with FULL. */
const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0", "valkey-9.1"];

describe.each(SERVERS)("a formed cluster of %s comes back whole", (server) => {
  describe.concurrent("after", { timeout: 180_000 }, () => {
    const formed = (context: TestContext, keys = KEYS) => formedCluster(context, server, keys);

    async function isWhole(cluster: TestCluster, result: Reconciled, keys = KEYS): Promise<void> {
      expect(await cluster.missing(keys)).toEqual([]);
      for (const name of cluster.names)
        expect((await cluster.check(name)).text).toMatch(/\[OK\] All 16384 slots covered/);
      const layout = layoutOf(cluster.goal, await cluster.observe());
      expect(crowdedZones(cluster.goal, layout)).toEqual([]);
      for (const { leader, replicas } of layout)
        expect([leader?.answering, replicas.map((r) => r.replication.linkUp)]).toEqual([true, [true]]);
      expect(result.members.map((m) => m.name)).toEqual([...cluster.names].sort());
      expect(result.members.every((m) => m.state === "member")).toBe(true);
    }

    test.for([1, 3, 6])("kill -9 of %i servers at once", async (count, context) => {
      const { cluster, members } = await formed(context);
      // The three leaders, or everybody.
      const victims = [
        ...cluster.names.filter((_, i) => i % 2 === 0),
        ...cluster.names.filter((_, i) => i % 2 === 1),
      ].slice(0, count);
      await Promise.all(victims.map((name) => cluster.killNode(name)));
      await Promise.all(victims.map((name) => cluster.startNode(name)));
      await isWhole(cluster, await cluster.reconcile({ members, verified: true }));
    });

    test("a failover that crowds one zone with leaders", async (context) => {
      const { cluster, members } = await formed(context);
      const before = layoutOf(cluster.goal, await cluster.observe());
      const zone = before[0]?.replicas[0] && cluster.nodes.find((n) => n.name === before[0]?.replicas[0]?.name)?.zone;
      const killed = before[0]?.leader?.name ?? "";
      await cluster.killNode(killed);
      await until("its replica leads", async () =>
        /^master/.test(String(await cluster.sendTo(before[0]?.replicas[0]?.name ?? "", ["ROLE"]))),
      );
      await cluster.startNode(killed);
      await until("it follows", async () => /^slave/.test(String(await cluster.sendTo(killed, ["ROLE"]))));
      const crowded = crowdedZones(cluster.goal, layoutOf(cluster.goal, await cluster.observe()));
      expect(crowded.map((c) => c.zone)).toEqual([zone]);
      await isWhole(cluster, await cluster.reconcile({ members, verified: true }));
    });

    // From 7.2 on the others hear of it, and stay with it for a minute.
    test.skipIf(!process.env.FULL)(
      "one node was told by hand to forget a replica, and another a leader",
      async (context) => {
        const { cluster, members } = await formed(context);
        const [leader, , other] = layoutOf(cluster.goal, await cluster.observe());
        const [by, forgotten] = [leader?.leader, other?.leader];
        const replica = leader?.replicas[0];
        await cluster.sendTo(by?.name ?? "", ["CLUSTER", "FORGET", forgotten?.id ?? ""]);
        await cluster.sendTo(forgotten?.name ?? "", ["CLUSTER", "FORGET", replica?.id ?? ""]);
        await isWhole(cluster, await cluster.reconcile({ members, verified: true }));
      },
    );

    test("a replica lost its nodes.conf", async (context) => {
      const { cluster, members } = await formed(context);
      await loseIdentity(cluster, cluster.names[1] ?? "", members, "nodes.conf", true);
    });

    test("a master lost its nodes.conf and was back before anybody called it failed", async (context) => {
      const { cluster, members } = await formed(context);
      await loseIdentity(cluster, cluster.names[0] ?? "", members, "nodes.conf", true);
    });

    test("most masters lost their nodes.conf and were back at once: nobody is left to elect their replicas", async (context) => {
      const { cluster, members } = await formed(context);
      const victims = [cluster.names[0] ?? "", cluster.names[2] ?? ""];
      await Promise.all(victims.map((name) => cluster.killNode(name)));
      for (const name of victims) rmSync(join(cluster.dir(name), "nodes.conf"));
      await Promise.all(victims.map((name) => cluster.startNode(name)));
      await isWhole(cluster, await cluster.reconcile({ members, verified: true }));
    });

    test("a master lost its nodes.conf and its replica took over", async (context) => {
      const { cluster, members } = await formed(context);
      await loseIdentity(cluster, cluster.names[2] ?? "", members, "nodes.conf", false);
    });

    test("a master lost its whole folder, and its replica took over", async (context) => {
      const { cluster, members } = await formed(context);
      await loseIdentity(cluster, cluster.names[0] ?? "", members, "", false);
    });

    test("never, if an empty master at the old address emptied its replica: that is said, and hidden by nothing", async (context) => {
      const { cluster, members } = await formed(context);
      const [master = "", replica = ""] = cluster.names;
      await cluster.killNode(master);
      rmSync(cluster.dir(master), { recursive: true });
      await cluster.startNode(master);
      // A race between two servers: the replica follows the address and is emptied, or is elected before. Either is seen here.
      const emptied = async () => (await cluster.sendTo(replica, ["DBSIZE"])) === 0;
      await until(
        "its replica followed it or leads",
        async () => (await emptied()) || /^master/.test(String(await cluster.sendTo(replica, ["ROLE"]))),
      );
      if (!(await emptied())) {
        await isWhole(cluster, await cluster.reconcile({ members, verified: true }));
        return;
      }
      const failure = await failureOf(cluster.reconcile({ members, verified: true }));
      expect(failure.refusals.map((r) => [r.kind, r.subject])).toEqual([["data-lost", master]]);
      expect(failure.message).toContain(replica);
      expect(failure.members).toEqual(members);
    });

    async function loseIdentity(
      cluster: TestCluster,
      name: string,
      members: readonly Member[],
      file: string,
      atOnce: boolean,
    ): Promise<void> {
      const former = members.find((m) => m.name === name)?.id ?? "";
      const partner = cluster.names[cluster.names.indexOf(name) + 1] ?? "";
      await cluster.killNode(name);
      if (!atOnce)
        await until("its replica leads", async () => /^master/.test(String(await cluster.sendTo(partner, ["ROLE"]))));
      rmSync(join(cluster.dir(name), file), { recursive: true });
      await cluster.startNode(name);
      const result = await cluster.reconcile({ members, verified: true });
      await isWhole(cluster, result);
      expect(result.members.find((m) => m.name === name)?.id).not.toBe(former);
      const forgotten = async () =>
        (await cluster.send(["CLUSTER", "NODES"])).every((view) => !String(view).includes(former));
      expect(await forgotten()).toBe(true);
      // A node that still knew it would bring it back once the blacklist of a minute has ended.
      if (process.env.FULL) {
        await new Promise((resolve) => setTimeout(resolve, 65_000));
        expect(await forgotten()).toBe(true);
      }
    }

    test("all six were restarted under other addresses", async (context) => {
      const { cluster, members } = await formed(context);
      await Promise.all(cluster.names.map((name) => cluster.killNode(name, "SIGTERM")));
      const moved = await cluster.movedTo(await freeEndpoints(cluster.nodes, cluster.goal.plan.zones));
      context.onTestFinished(() => moved.stop());
      const result = await moved.reconcile({ members, verified: true });
      await isWhole(moved, result);
      expect(result.members.map((m) => m.id)).toEqual(members.map((m) => m.id));
      expect(result.members.map((m) => m.endpoint)).toEqual(result.members.map((m) => moved.goal.endpoints[m.name]));
    });

    test("all six were restarted with their addresses exchanged", async (context) => {
      const { cluster, members } = await formed(context);
      await Promise.all(cluster.names.map((name) => cluster.killNode(name, "SIGTERM")));
      const names = cluster.names;
      const moved = await cluster.movedTo(
        Object.fromEntries(names.map((name, i) => [name, cluster.endpoint(names[(i + 1) % names.length] ?? "")])),
      );
      context.onTestFinished(() => moved.stop());
      const result = await moved.reconcile({ members, verified: true });
      await isWhole(moved, result);
      expect(result.members.map((m) => m.id)).toEqual(members.map((m) => m.id));
    });
  });
});
