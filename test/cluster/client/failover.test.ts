import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClusterListener, clusterOptions, watchCluster } from "../../../components/client";
import { until } from "../../support/formation";
import { type TestServerName, testServers } from "../../support/servers";
import { ClientCluster } from "./support";
import { open, TAGS } from "./use";

const servers = await testServers();
const NAMES: readonly TestServerName[] = process.env.FULL ? ["redis-7.0", "valkey-9.1"] : ["redis-7.0"];

/** Looks at the slots more often, so that the test is told sooner. */
const SOON = { slotsRefreshInterval: 500 };

/** Works until it is told to end, or meets an error. */
function load(work: (round: number) => Promise<unknown>) {
  let [rounds, longest, going] = [0, 0, true];
  const errors: Error[] = [];
  const done = (async () => {
    // One error is enough; a client that has ended gives them without a pause.
    while (going && errors.length === 0) {
      const began = Date.now();
      await work(rounds++).catch((error: Error) => errors.push(error));
      longest = Math.max(longest, Date.now() - began);
    }
  })();
  const end = async () => {
    going = false;
    await done;
    return { rounds, longest, errors };
  };
  return { rounds: () => rounds, errors, end };
}

/** What was told, in order: event and node. */
function heard(): { listener: ClusterListener; events: string[] } {
  const events: string[] = [];
  const listener: ClusterListener = {
    failover: ({ slots, from, to }) => events.push(`failover ${slots} ${from.name} ${to.name} ${to.zone}`),
    slotsMoved: ({ slots, from, to }) => events.push(`moved ${slots} ${from.name} ${to.name}`),
    joined: ({ name }) => events.push(`joined ${name}`),
    left: ({ name }) => events.push(`left ${name}`),
    nodeError: (_error, { name, zone, shard }) => events.push(`error ${name} ${zone} ${shard}`),
    unreachable: () => events.push("unreachable"),
  };
  return { listener, events };
}

describe.skipIf(!servers).each(NAMES)("%s, through tunnels with TLS", (server) => {
  let cluster: ClientCluster;
  beforeAll(async () => {
    const program = servers?.[server];
    if (program) cluster = await ClientCluster.start({ program, tls: "names" });
  });
  afterAll(() => cluster?.stop());

  test("a master dies: events name it, and work goes on without an error", async (context) => {
    const [from, to] = ["shard-1-zone-b", "shard-1-zone-c"];
    const { tunnels } = await cluster.tunnels();
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels });
    const { client } = open(context, setup, SOON);
    const reads = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels, readFrom: "replicas" });
    const reader = open(context, reads, SOON).client;
    const { listener, events } = heard();
    const unwatch = watchCluster(client, setup.nodes, listener);
    const writing = load((round) => client.set(`session:${TAGS[round % 3]}`, round));
    const reading = load((round) => reader.get(`session:${TAGS[round % 3]}`));
    await until("work is under way", () => writing.rounds() > 30 && reading.rounds() > 30);

    await cluster.kill(from);
    const failover = `failover 5461-10922 ${from} ${to} zone-c`;
    await until("the failover is told", () => events.includes(failover), 30_000);
    await until("the dead node is told to be gone", () => events.includes(`left ${from}`), 30_000);
    const since = writing.rounds();
    await until("work goes on", () => writing.rounds() > since + 30);
    await cluster.startNode(from);
    await until("it is told to be back", () => events.includes(`joined ${from}`), 30_000);
    for (const { longest, errors } of [await writing.end(), await reading.end()]) {
      expect(errors).toEqual([]);
      expect(longest).toBeLessThan(2 * cluster.nodeTimeoutMilliseconds + 5_000);
    }
    expect(events).toContain(`error ${from} zone-b shard-1`);
    expect(events).not.toContain("unreachable");
    expect(events.filter((event) => event.startsWith("moved"))).toEqual([]);
    unwatch();
  });

  test("a replica dies: its master answers the reads meanwhile", async (context) => {
    await cluster.whole();
    const { tunnels } = await cluster.tunnels();
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels, readFrom: "replicas" });
    const { client } = open(context, setup, SOON);
    const { listener, events } = heard();
    watchCluster(client, setup.nodes, listener);
    const reading = load((round) => client.get(`session:${TAGS[round % 3]}`));
    await until("work is under way", () => reading.rounds() > 30);
    const replica = "shard-2-zone-a";
    // Long enough for a busy machine to tell waiting for it from going on.
    for (const { name } of cluster.nodes) await cluster.ask(name, "CONFIG", "SET", "cluster-node-timeout", 6_000);
    await cluster.kill(replica);
    const since = reading.rounds();
    await until("the replica is told to be gone", () => events.includes(`left ${replica}`), 30_000);
    // Every third one is of its shard, and none of them waited until all agree that it is gone.
    expect(reading.errors).toEqual([]);
    expect(reading.rounds() - since).toBeGreaterThan(30);
    await cluster.startNode(replica);
    await until("and back", () => events.includes(`joined ${replica}`), 30_000);
    const served = await cluster.figure("commandstats", /cmdstat_get:calls=(\d+)/);
    await until("it answers reads again", async () => {
      const now = await cluster.figure("commandstats", /cmdstat_get:calls=(\d+)/);
      return (now.get(replica) ?? 0) > (served.get(replica) ?? 0);
    });
    expect((await reading.end()).errors).toEqual([]);
    expect(events.filter((event) => event.startsWith("failover"))).toEqual([]);
  });
});
