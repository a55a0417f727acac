import { describe, expect, type TestContext, test } from "vitest";
import type { FormationGoal } from "../../../components/formation/goal";
import { observe } from "../../../components/formation/observe";
import { guardRunner } from "../../../components/formation/runner/guard";
import { Connections } from "../../../components/formation/wire";
import { place } from "../../../components/topology/place";
import {
  type ClusterOptions,
  callsDuring,
  failureOf,
  fingerprint,
  programFor,
  TestCluster,
  until,
} from "../../support/formation";
import { onlyInFull } from "../../support/full";
import { specOf } from "../../unit/topology/support";
import { guardInputs } from "./support";

const shape = { masters: 3, replicas: 1, zones: 3, nodeTimeoutMilliseconds: 2_000 };

async function start(context: TestContext, options: Partial<ClusterOptions> = {}): Promise<TestCluster> {
  const cluster = await TestCluster.start({ ...shape, program: await programFor(context, "redis-7.0"), ...options });
  context.onTestFinished(() => cluster.stop());
  return cluster;
}

const nodeAt = (cluster: TestCluster, index: number) => cluster.names[index] ?? "";

describe.concurrent("formation acts on evidence only", { timeout: 120_000 }, () => {
  test("a node that is still starting is waited for: its slots are not called lost", async (context) => {
    const cluster = await start(context, { replicas: 0 });
    const { members } = await cluster.reconcile();
    await cluster.killNode(nodeAt(cluster, 1));
    const run = cluster.reconcile({ members, verified: true });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await cluster.startNode(nodeAt(cluster, 1));
    await run;
  });

  onlyInFull(
    "a node that loads its data for longer than anybody's patience is waited for while it gets on",
    async (context) => {
      let slow = "";
      const cluster = await start(context, { replicas: 0, lines: () => slow });
      const { members } = await cluster.reconcile();
      await cluster.fill(6_000);
      // Events are served often while an RDB is loaded, and a rewritten AOF begins with one.
      await cluster.sendTo(nodeAt(cluster, 1), ["BGREWRITEAOF"]);
      await until("the AOF is rewritten", async () =>
        /aof_rewrite_in_progress:0[\s\S]*aof_rewrite_scheduled:0[\s\S]*aof_last_rewrite_time_sec:\d/.test(
          String(await cluster.sendTo(nodeAt(cluster, 1), ["INFO", "persistence"])),
        ),
      );
      await cluster.killNode(nodeAt(cluster, 1));
      slow = "key-load-delay 5000\nloading-process-events-interval-bytes 1024";
      const started = cluster.startNode(nodeAt(cluster, 1));
      const loading = async () => /LOADING/.test(String(await cluster.sendTo(nodeAt(cluster, 1), ["DBSIZE"])));
      await until("it loads", loading);
      await cluster.reconcile({ members, verified: true }, { patienceMilliseconds: 6_000 });
      await started;
      expect(await cluster.missing(6_000)).toEqual([]);
    },
  );

  test("one node that hangs does not hold up the look at the others", async (context) => {
    const cluster = await start(context);
    const hung = cluster.server(nodeAt(cluster, 2)).process;
    hung.kill("SIGSTOP");
    const connections = new Connections("test-looker", cluster.access);
    try {
      const began = Date.now();
      const { nodes } = await observe(cluster.goal, connections);
      expect(Date.now() - began).toBeLessThan(4_500);
      expect(nodes.map((n) => n.answering)).toEqual([true, true, false, true, true, true]);
      hung.kill("SIGCONT");
      expect((await observe(cluster.goal, connections)).nodes.every((n) => n.answering)).toBe(true);
    } finally {
      hung.kill("SIGCONT");
      connections.close();
    }
  });

  test("a whole cluster that is shaped otherwise and of which there is no record is not rearranged", async (context) => {
    const cluster = await start(context);
    const { plan } = cluster.goal;
    const nodes = plan.shards.map((_, i) =>
      plan.shards.flatMap((s, k) => s.nodes.filter((_, j) => (k + j) % plan.shards.length === i)),
    );
    const promises = { shardsSpanZones: false, mastersKeepMajority: false };
    const shards = plan.shards.map((s, i) => ({ ...s, nodes: nodes[i] ?? [] }));
    await cluster.reconcile(undefined, { goal: { ...cluster.goal, plan: { ...plan, promises, shards } } });
    await cluster.fill(50);
    const before = await fingerprint(cluster);
    const called = await callsDuring(cluster, async () => {
      const failure = await failureOf(cluster.reconcile(undefined, { patienceMilliseconds: 500 }));
      expect(failure.refusals.map((r) => r.kind)).toEqual(["other-layout"]);
    });
    expect(await fingerprint(cluster)).toEqual(before);
    for (const commands of called.values()) expect(commands.join()).not.toMatch(/replicate|setslot|failover|meet/);
  });

  test("a cluster that was formed, not recorded, and is declared larger now is ours", async (context) => {
    const cluster = await start(context, { masters: 4 });
    const small = place(specOf(3, 1, 3, { engine: cluster.goal.engine, nodeTimeoutMilliseconds: 2_000 }));
    const names = new Set(small.shards.flatMap((s) => s.nodes.map((n) => n.name)));
    const endpoints = Object.fromEntries(Object.entries(cluster.goal.endpoints).filter(([name]) => names.has(name)));
    expect(Object.keys(endpoints)).toHaveLength(6);
    const goal: FormationGoal = { ...cluster.goal, plan: small, endpoints };
    await cluster.reconcile(undefined, { goal });
    await cluster.reconcile();
    for (const name of cluster.names) expect((await cluster.check(name)).text).toMatch(/All 16384 slots covered/);
  });

  test("nodes that announce an address where they are not: the cause is named", async (context) => {
    const cluster = await start(context, { lines: (i) => (i === 4 ? "cluster-announce-ip 127.0.0.9" : "") });
    const failure = await failureOf(cluster.reconcile(undefined, { patienceMilliseconds: 3_000 }));
    const { address, port } = cluster.endpoint(nodeAt(cluster, 4));
    expect(failure.message).toContain(`${nodeAt(cluster, 4)} is at ${address}:${port}`);
    expect(failure.message).toMatch(/looks for it at 127\.0\.0\.9:\d+/);
  });
});

describe("a guard in a roll", { timeout: 120_000 }, () => {
  const inputsFor = (...[cluster, node, more]: Parameters<typeof guardInputs>) =>
    guardInputs(cluster, node, { dataOnDestroy: "delete", ...more });

  test("keeps a leader without a replica in sync, consent or not, while the program declares the cluster", async (context) => {
    const cluster = await start(context);
    await cluster.reconcile();
    await cluster.fill(50);
    const [master = "", replica = ""] = cluster.names;
    const inputs = inputsFor(cluster, master, { cluster: "rolling" });
    await cluster.killNode(replica);
    await guardRunner.diff("guard", inputs, { ...inputs, instance: "two" });
    await expect(guardRunner.delete("guard", inputs)).rejects.toThrow(/has no replica in sync/);
    // The same, where nobody goes on: a destroy that was killed, and agreed to.
    await guardRunner.delete("guard", { ...inputs, cluster: "destroyed" });
  });

  test("a silent machine stays where nobody can say that it is out, unless its loss was agreed to", async (context) => {
    const cluster = await start(context);
    await cluster.reconcile();
    const node = nodeAt(cluster, 1);
    await cluster.killNode(node);
    const keep = inputsFor(cluster, node, { dataOnDestroy: "keep" });
    await expect(guardRunner.delete("guard", keep)).rejects.toThrow(/no other node says that it is out of service/);
    await guardRunner.delete("guard", { ...keep, peers: [cluster.endpoint(nodeAt(cluster, 0))] });
    await guardRunner.delete("guard", { ...keep, dataOnDestroy: "delete" });
  });

  test("hands over only when no other run changes the cluster", async (context) => {
    const cluster = await start(context);
    await cluster.reconcile();
    const [master = "", replica = ""] = cluster.names;
    const other = new Connections("pulumi-redis-cluster:executor:someone-else", cluster.access);
    for (const name of cluster.names) await other.send(cluster.endpoint(name), [["PING"]]);
    const gone = guardRunner.delete("guard", inputsFor(cluster, master));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await cluster.sendTo(master, ["ROLE"])).toContain("master");
    other.close();
    await gone;
    expect(await cluster.sendTo(replica, ["ROLE"])).toContain("master");
  });

  onlyInFull("a shard with its only copy in memory stays, unless its loss was agreed to", async (context) => {
    const cluster = await start(context, { replicas: 0, lines: () => "appendonly no" });
    await cluster.reconcile();
    await cluster.fill(50);
    const inputs = inputsFor(cluster, nodeAt(cluster, 0), { replicasPerMaster: 0, dataOnDestroy: "keep" });
    await expect(guardRunner.delete("guard", inputs)).rejects.toThrow(/keys in memory only/);
    await guardRunner.delete("guard", { ...inputs, dataOnDestroy: "delete" });
    await cluster.send(["CONFIG", "SET", "appendonly", "yes"]);
    await guardRunner.delete("guard", inputs);
  });

  onlyInFull(
    "a master without slots that holds keys of one on its way to it, in memory only, stays",
    async (context) => {
      const cluster = await start(context, { replicas: 0, lines: () => "appendonly no" });
      await cluster.reconcile();
      const [other = "", , target = ""] = cluster.names;
      const range = ["10923", "16383"];
      await cluster.send(["CLUSTER", "DELSLOTSRANGE", ...range]);
      await cluster.sendTo(other, ["CLUSTER", "ADDSLOTSRANGE", ...range]);
      await cluster.fill(50);
      const id = async (node: string) => String(await cluster.sendTo(node, ["CLUSTER", "MYID"]));
      const key = String(await cluster.sendTo(other, ["RANDOMKEY"]));
      const slot = String(await cluster.sendTo(other, ["CLUSTER", "KEYSLOT", key]));
      await cluster.sendTo(target, ["CLUSTER", "SETSLOT", slot, "IMPORTING", await id(other)]);
      await cluster.sendTo(other, ["CLUSTER", "SETSLOT", slot, "MIGRATING", await id(target)]);
      const { address, port } = cluster.endpoint(target);
      const move = ["MIGRATE", address, `${port}`, key, "0", "5000", ...cluster.migrateAuth];
      expect(await cluster.sendTo(other, move)).toBe("OK");
      const inputs = inputsFor(cluster, target, { cluster: "moving", replicasPerMaster: 0 });
      await guardRunner.diff("guard", inputs, { ...inputs, instance: "two" });
      await expect(guardRunner.delete("guard", inputs)).rejects.toThrow(/1 keys of slots on their way to it/);
      await cluster.sendTo(target, ["CONFIG", "SET", "appendonly", "yes"]);
      await guardRunner.delete("guard", inputs);
    },
  );

  test("joins a node again that came back without its data, and stops where no copy is left", async (context) => {
    const cluster = await start(context, { replicas: 0 });
    await cluster.reconcile();
    await cluster.fill(50);
    const lost = nodeAt(cluster, 1);
    await cluster.sendTo(lost, ["FLUSHALL"]);
    await cluster.sendTo(lost, ["CLUSTER", "RESET", "HARD"]);
    const peers = [cluster.endpoint(nodeAt(cluster, 0))];
    const inputs = inputsFor(cluster, lost, { cluster: "emptied", peers, replicasPerMaster: 0 });
    // New: nobody knows it as a node of before.
    await guardRunner.create({ ...inputs, cluster: "another" });
    await guardRunner.diff("guard", inputs, { ...inputs, instance: "two" });
    await until("the others have noticed", async () =>
      /noaddr/.test(String(await cluster.sendTo(nodeAt(cluster, 0), ["CLUSTER", "NODES"]))),
    );
    await expect(guardRunner.create(inputs)).rejects.toThrow(/without its data, and no other node has a copy/);
  });
});
