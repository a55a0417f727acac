import { copyFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, type TestContext, test } from "vitest";
import type { FormationGoal, History } from "../../../components/formation/goal";
import type { RefusalKind } from "../../../components/formation/refusals";
import {
  type ClusterOptions,
  callsDuring,
  failureOf,
  fingerprint,
  programFor,
  TestCluster,
  until,
} from "../../support/formation";

const shape = { masters: 3, replicas: 1, zones: 3, nodeTimeoutMilliseconds: 2_000 };

async function start(context: TestContext, options: Partial<ClusterOptions> = {}): Promise<TestCluster> {
  const cluster = await TestCluster.start({ ...shape, program: await programFor(context, "redis-7.0"), ...options });
  context.onTestFinished(() => cluster.stop());
  return cluster;
}

const nodeAt = (cluster: TestCluster, index: number) => cluster.names[index] ?? "";

interface Expected {
  readonly kinds: readonly RefusalKind[];
  readonly says: readonly (string | RegExp)[];
  readonly history?: History;
  readonly goal?: FormationGoal;
}

/** Ends in exactly these refusals, each with a remedy, and changes nothing on any node. */
async function refuses(cluster: TestCluster, { kinds, says, history, goal }: Expected): Promise<void> {
  const before = await fingerprint(cluster);
  let message = "";
  const called = await callsDuring(cluster, async () => {
    const failure = await failureOf(
      cluster.reconcile(history, { patienceMilliseconds: 1_000, ...(goal ? { goal } : {}) }),
    );
    message = failure.message;
    expect([...new Set(failure.refusals.map((r) => r.kind))].sort()).toEqual([...kinds].sort());
    for (const r of failure.refusals) expect(r.remedy.length).toBeGreaterThan(20);
  });
  for (const text of says) expect(message).toMatch(text);
  expect(message).toMatch(/nothing was changed, because/);
  expect(await fingerprint(cluster)).toEqual(before);
  for (const [name, commands] of called)
    for (const command of commands) expect(READING, `${command} on ${name}`).toContain(command);
}

/** What looking at a node sends, and what the servers send each other. */
const READING = [
  "client|id",
  "client|list",
  "client|setname",
  "cluster|info",
  "cluster|myid",
  "cluster|nodes",
  "config|get",
  "dbsize",
  "hello",
  "info",
  "ping",
  "psync",
  "replconf",
  "select",
];

describe.concurrent("formation refuses, and changes nothing", { timeout: 120_000 }, () => {
  test("nodes of which one knows a foreign node", async (context) => {
    const cluster = await start(context);
    const other = await start(context, { masters: 1, replicas: 0, zones: 1 });
    const stranger = other.endpoint(nodeAt(other, 0));
    await cluster.sendTo(nodeAt(cluster, 2), ["CLUSTER", "MEET", stranger.address, String(stranger.port)]);
    const id = String(await other.sendTo(nodeAt(other, 0), ["CLUSTER", "MYID"]));
    // They also settle, a moment later and by themselves, that both came with the same epoch.
    await until("they know each other", async () => {
      const lines = String(await cluster.sendTo(nodeAt(cluster, 2), ["CLUSTER", "NODES"]))
        .trim()
        .split("\n");
      return lines.some((line) => line.startsWith(id)) && new Set(lines.map((line) => line.split(" ")[6])).size === 2;
    });
    await refuses(cluster, {
      kinds: ["foreign-node"],
      says: [id, nodeAt(cluster, 2), `${stranger.address}:${stranger.port}`],
    });
  });

  test("a node with data", async (context) => {
    const cluster = await start(context);
    const used = nodeAt(cluster, 3);
    await cluster.sendTo(used, ["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    await until("it takes writes", async () => (await cluster.sendTo(used, ["SET", "a", "1"])) === "OK");
    await refuses(cluster, { kinds: ["two-clusters"], says: [used, "0-16383"] });
    await cluster.sendTo(used, ["CLUSTER", "DELSLOTSRANGE", "0", "16383"]);
    await refuses(cluster, { kinds: ["data-on-new-node"], says: [used, "1 key"] });
  });

  test("a node of another formed cluster", async (context) => {
    const cluster = await start(context);
    const other = await start(context, { masters: 3, replicas: 0 });
    await other.reconcile();
    const taken = nodeAt(cluster, 4);
    const endpoints = { ...cluster.goal.endpoints, [taken]: other.endpoint(nodeAt(other, 1)) };
    const before = await fingerprint(other);
    await refuses(cluster, {
      kinds: ["foreign-node", "two-clusters"],
      says: [taken],
      goal: { ...cluster.goal, endpoints },
    });
    expect(await fingerprint(other)).toEqual(before);
  });

  test("two formed clusters, with and without keys", async (context) => {
    const cluster = await start(context);
    const half = (from: number) =>
      Object.fromEntries(
        cluster.names.slice(from, from + 3).map((name, i) => [`sessions-${i}-x`, cluster.endpoint(name)]),
      );
    for (const from of [0, 3]) {
      const plan = {
        ...cluster.goal.plan,
        promises: { shardsSpanZones: false, mastersKeepMajority: false },
        shards: cluster.goal.plan.shards.map((s, i) => ({
          ...s,
          nodes: [{ name: `sessions-${i}-x`, shard: s.name, zone: "zone-a" }],
        })),
      };
      await cluster.reconcile(undefined, { goal: { ...cluster.goal, plan, endpoints: half(from) } });
    }
    await refuses(cluster, { kinds: ["two-clusters"], says: ["2 separate clusters", "16384 slots", "0 keys"] });
    const key = nodeAt(cluster, 0);
    for (let i = 0; (await cluster.sendTo(key, ["SET", `k${i}`, "1"])) !== "OK"; i++);
    await refuses(cluster, { kinds: ["two-clusters"], says: ["1 keys"] });
  });

  test("a formed cluster and a stranger with slots at a member's address", async (context) => {
    const cluster = await start(context, { masters: 3, replicas: 1 });
    const { members } = await cluster.reconcile();
    const other = await start(context, { masters: 1, replicas: 0, zones: 1 });
    await other.sendTo(nodeAt(other, 0), ["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    await until("it takes writes", async () => (await other.sendTo(nodeAt(other, 0), ["SET", "a", "1"])) === "OK");
    const endpoints = { ...cluster.goal.endpoints, [nodeAt(cluster, 1)]: other.endpoint(nodeAt(other, 0)) };
    const before = await fingerprint(other);
    await refuses(cluster, {
      kinds: ["two-clusters"],
      says: ["0-16383", nodeAt(cluster, 1)],
      history: { members, verified: true },
      goal: { ...cluster.goal, endpoints },
    });
    expect(await fingerprint(other)).toEqual(before);
  });

  test("a node without cluster mode", async (context) => {
    const cluster = await start(context, { lines: (i) => (i === 5 ? "cluster-enabled no" : "") });
    await refuses(cluster, { kinds: ["not-cluster-mode"], says: [nodeAt(cluster, 5), "cluster-enabled yes"] });
  });

  test("two nodes with the same ID, from a copied nodes.conf", async (context) => {
    const cluster = await start(context);
    const [one, two] = [nodeAt(cluster, 0), nodeAt(cluster, 1)];
    await cluster.killNode(two);
    copyFileSync(join(cluster.dir(one), "nodes.conf"), join(cluster.dir(two), "nodes.conf"));
    await cluster.startNode(two);
    const id = String(await cluster.sendTo(one, ["CLUSTER", "MYID"]));
    await refuses(cluster, { kinds: ["duplicate-id"], says: [one, two, id] });
  });

  test("servers of two versions", async (context) => {
    const cluster = await start(context, { programs: { 1: await programFor(context, "valkey-8.1") } });
    await refuses(cluster, {
      kinds: ["version-mix", "wrong-engine"],
      says: [nodeAt(cluster, 1), /redis 7\.0\.\d+ and valkey 8\.1/],
    });
  });

  test("an engine other than declared", async (context) => {
    const cluster = await start(context);
    await refuses(cluster, {
      kinds: ["wrong-engine"],
      says: ["declared redis 8.0"],
      goal: { ...cluster.goal, engine: { name: "redis", version: "8.0" } },
    });
    await refuses(cluster, {
      kinds: ["wrong-engine"],
      says: ["declared redis 7.0.1", "redis 7.0.15"],
      goal: { ...cluster.goal, engine: { name: "redis", version: "7.0.1" } },
    });
  });

  test("a bus port that is announced wrongly", async (context) => {
    const cluster = await start(context, { lines: (i) => (i === 4 ? "cluster-announce-bus-port 9" : "") });
    await refuses(cluster, {
      kinds: ["bus-port"],
      says: [nodeAt(cluster, 4), "bus port 9", String(cluster.endpoint(nodeAt(cluster, 4)).busPort)],
    });
  });

  test("a bus port where nobody listens", async (context) => {
    // The bus listens elsewhere, and the node announces the port that everybody expects.
    const ports = new Map<number, string>();
    const cluster = await start(context, { lines: (i) => ports.get(i) ?? "" });
    const name = nodeAt(cluster, 2);
    await cluster.killNode(name);
    const free = await new Promise<number>((resolve) => {
      const probe = createServer().listen(0, cluster.endpoint(name).address, () => {
        const { port } = probe.address() as { port: number };
        probe.close(() => resolve(port));
      });
    });
    ports.set(2, `cluster-port ${free}\ncluster-announce-bus-port ${cluster.endpoint(name).busPort}`);
    await cluster.startNode(name);
    await refuses(cluster, {
      kinds: ["bus-port"],
      says: [name, "refuses connections", String(cluster.endpoint(name).busPort)],
    });
  });

  test("a server that is not there, and a wrong address", async (context) => {
    const cluster = await start(context);
    const gone = nodeAt(cluster, 5);
    const { address, port } = cluster.endpoint(gone);
    await refuses(cluster, {
      kinds: ["silent-node"],
      says: [gone, `${address}:9`, "no server listens there"],
      goal: {
        ...cluster.goal,
        endpoints: { ...cluster.goal.endpoints, [gone]: { address, port: 9, busPort: 10_009 } },
      },
    });
    expect(port).not.toBe(9);
  });

  test("a server that hangs", async (context) => {
    const cluster = await start(context);
    const hung = nodeAt(cluster, 4);
    cluster.server(hung).process.kill("SIGSTOP");
    const failure = await failureOf(cluster.reconcile(undefined, { patienceMilliseconds: 500 }));
    expect(failure.refusals.map((r) => [r.kind, r.subject])).toEqual([["silent-node", hung]]);
    expect(failure.message).toMatch(/it takes the connection, and gives no answer in time\n\s+→ look on its host/);
    cluster.server(hung).process.kill("SIGCONT");
    for (const view of await cluster.send(["CLUSTER", "NODES"]))
      expect(String(view).trim().split("\n")).toHaveLength(1);
  });

  test("slots that were served and are gone for good", async (context) => {
    const cluster = await start(context, { masters: 3, replicas: 0 });
    const { members } = await cluster.reconcile();
    const lost = nodeAt(cluster, 1);
    await cluster.killNode(lost);
    rmSync(cluster.dir(lost), { recursive: true });
    await cluster.startNode(lost);
    await until("the others have noticed", async () =>
      (await Promise.all([0, 2].map((i) => cluster.sendTo(nodeAt(cluster, i), ["CLUSTER", "NODES"])))).every((view) =>
        /noaddr/.test(String(view)),
      ),
    );
    await refuses(cluster, {
      kinds: ["data-lost"],
      says: ["5461-10922", "5462 slots"],
      history: { members, verified: true },
    });
  });
});
