import { expect, test } from "vitest";
import { answering, self } from "../../../components/formation/observation";
import { observe } from "../../../components/formation/observe";
import { reaffirmGains } from "../../../components/formation/reaffirm";
import { programFor, until } from "../../support/formation";
import { ChangingCluster, keyIn } from "./support";
import { Uneven } from "./uneven";

const SHAPE = { masters: 3, replicas: 1, zones: 3 };
const SLOT = 7;

async function startCluster(context: Parameters<typeof programFor>[0]) {
  const cluster = await ChangingCluster.start(await programFor(context, "redis-7.0"), SHAPE, {
    nodeTimeoutMilliseconds: 1_000,
  });
  context.onTestFinished(() => cluster.stop());
  const [leader = ""] = await cluster.leaders();
  const replica = cluster.goal.plan.shards[0]?.nodes.find((n) => n.name !== leader)?.name ?? "";
  const ownedBy = async (owner: string, seenBy: string) => {
    const id = String(await cluster.call(owner, "CLUSTER", "MYID"));
    const line = String(await cluster.call(seenBy, "CLUSTER", "NODES"))
      .split("\n")
      .find((text) => text.startsWith(id));
    return line?.split(" ").slice(8).join(" ") ?? "";
  };
  return { cluster, leader, replica, ownedBy };
}

test.for([
  ["as the server is, the slot's keys are lost (else this shows nothing)", false, 0],
  ["after the replica has taken its master's word anew, none is", true, 50],
] as const)(
  "Redis 7.0: a replica that read an older packet of its master last leads, and the master is back; %s",
  { timeout: 120_000 },
  async ([, reaffirmed, left], context) => {
    const { cluster, leader, replica, ownedBy } = await startCluster(context);
    const client = cluster.client();
    for (let n = 0; n < 50; n++) await client.set(keyIn(SLOT, n), "value");
    // The replica hears a claim, then a packet without it, then the claim: what is read in the wrong order looks the same to it.
    const before = await ownedBy(leader, leader);
    const pings = async () => {
      const text = String(await cluster.call(replica, "CLUSTER", "INFO"));
      return (
        Number(/messages_ping_received:(\d+)/.exec(text)?.[1]) + Number(/messages_pong_received:(\d+)/.exec(text)?.[1])
      );
    };
    await cluster.call(leader, "CLUSTER", "DELSLOTS", SLOT);
    const heard = await pings();
    // Of ten nodes' worth of words, some are the leader's.
    await until("the replica has heard of it", async () => (await pings()) > heard + 30);
    await cluster.call(leader, "CLUSTER", "ADDSLOTS", SLOT);
    expect(await ownedBy(leader, leader)).toBe(before);
    const later = await pings();
    await until("the replica has heard of that too", async () => (await pings()) > later + 30);

    if (reaffirmed) {
      const connections = cluster.connections();
      await reaffirmGains(new Set([leader]), await observe(cluster.goal, connections), connections);
      connections.close();
      expect(await ownedBy(leader, replica)).toBe(before);
    }
    await cluster.killNode(leader);
    await until("its replica leads", async () => (await cluster.leaders())[0] === replica);
    await cluster.startNode(leader);
    await until("it follows", async () => String(await cluster.call(leader, "ROLE")).startsWith("slave"));
    await until("it is in sync", async () => /master_link_status:up/.test(String(await cluster.call(leader, "INFO"))));
    expect(await cluster.call(replica, "CLUSTER", "COUNTKEYSINSLOT", SLOT)).toBe(left);
    client.disconnect();
  },
);

test("after a move, replicas of the node that gained slots take its word anew, and nobody else's", {
  timeout: 120_000,
}, async (context) => {
  const { cluster, leader } = await startCluster(context);
  const uneven = new Uneven(cluster);
  await uneven.fill(await uneven.unbalance(), "keys");
  await Promise.all(cluster.names.map((name) => cluster.call(name, "CONFIG", "RESETSTAT")));
  await cluster.reconcile();
  const connections = cluster.connections();
  const nodes = answering(await observe(cluster.goal, connections));
  connections.close();
  const leaderId = nodes.find((n) => n.name === leader)?.id;
  for (const node of nodes) {
    const stats = String(await cluster.call(node.name, "INFO", "commandstats"));
    expect([node.name, /cmdstat_cluster\|delslots:/.test(stats)]).toEqual([
      node.name,
      self(node).masterId === leaderId,
    ]);
  }
  expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
});

test("a master dies in the moment in which its replica has forgotten one of its slots: both own a part of the shard then, and `up` mends it", {
  timeout: 120_000,
}, async (context) => {
  const { cluster, leader, replica } = await startCluster(context);
  const client = cluster.client();
  context.onTestFinished(() => client.disconnect());
  const keys = [SLOT, SLOT + 1].flatMap((slot) => Array.from({ length: 50 }, (_, n) => keyIn(slot, n)));
  for (const key of keys) await client.set(key, `value of ${key}`);
  await until("the replica has them", async () => Number(await cluster.call(replica, "DBSIZE")) === keys.length);
  // So that it does not hear of the slot again before its master dies.
  cluster.signal(leader, "SIGSTOP");
  await cluster.call(replica, "CLUSTER", "DELSLOTS", SLOT);
  await cluster.killNode(leader);
  await until("it leads", async () => String(await cluster.call(replica, "ROLE")).startsWith("master"));
  await cluster.startNode(leader);

  await cluster.reconcile();

  const missing: string[] = [];
  for (const key of keys) if ((await client.get(key)) !== `value of ${key}`) missing.push(key);
  expect([await cluster.faults(), missing]).toEqual([[], []]);
});

test("a replica that leads by now gives up no slot", { timeout: 120_000 }, async (context) => {
  const { cluster, leader, replica, ownedBy } = await startCluster(context);
  const owned = await ownedBy(leader, leader);
  const connections = cluster.connections();
  context.onTestFinished(() => connections.close());
  const before = await observe(cluster.goal, connections);
  await cluster.call(replica, "CLUSTER", "FAILOVER");
  await until("it leads", async () => (await cluster.leaders())[0] === replica);
  await reaffirmGains(new Set([leader]), before, connections);
  expect(await ownedBy(replica, replica)).toBe(owned);
});
