import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clusterOptions } from "../../../components/client";
import { type TestServerName, testServers } from "../../support/servers";
import { ClientCluster } from "./support";
import { open, refusal, TAGS, use } from "./use";

const servers = await testServers();
const NAMES: readonly TestServerName[] = process.env.FULL ? ["redis-7.0", "valkey-9.1"] : ["redis-7.0"];
const NEEDS = "+cluster|slots +cluster|info +info +ping +readonly +asking";

describe.skipIf(!servers).each(NAMES)("%s, with users and without TLS", (server) => {
  let cluster: ClientCluster;
  beforeAll(async () => {
    const program = servers?.[server];
    if (!program) return;
    const users = {
      app: `~session:* &news* +@read +@write +@pubsub ${NEEDS}`,
      reports: `%R~session:* +@read ${NEEDS}`,
      nobody: "-@all",
    };
    cluster = await ClientCluster.start({ program, users });
  });
  afterAll(() => cluster?.stop());

  test("the first user, directly and through tunnels", async (context) => {
    const { tunnels, byNode } = await cluster.tunnels();
    const before = await cluster.connections();
    for (const settings of [{ tunnels }, {}]) {
      const setup = clusterOptions(cluster.inventory(), cluster.credentials(), settings);
      const { client, errors } = open(context, setup, { shardedSubscribers: true });
      await use(client);
      expect(await client.acl("WHOAMI").catch((error: Error) => error.message)).toMatch(/NOPERM/);
      await expect(client.set("order:1", 1)).rejects.toThrow(/NOPERM/);
      expect(errors).toEqual([]);
      client.disconnect();
      if (Object.keys(settings).length === 0) break;
      const after = await cluster.connections();
      for (const [node, forwarder] of byNode)
        expect((after.get(node) ?? 0) - (before.get(node) ?? 0), node).toBe(forwarder.accepted);
    }
  });

  test("reads come from where they are wanted, by the servers' own count", async (context) => {
    const gets = () => cluster.figure("commandstats", /cmdstat_get:calls=(\d+)/);
    const counts = async (readFrom: "masters" | "replicas" | "all") => {
      const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { readFrom, user: "reports" });
      const { client } = open(context, setup);
      const before = await gets();
      for (let i = 0; i < 90; i++) await client.get(`session:${TAGS[i % 3]}`);
      const after = await gets();
      const by = { master: 0, replica: 0 };
      for (const { name, role } of cluster.inventory().shards.flatMap(({ nodes }) => nodes))
        by[role as "master"] += (after.get(name) ?? 0) - (before.get(name) ?? 0);
      return by;
    };
    expect(await counts("masters")).toEqual({ master: 90, replica: 0 });
    expect(await counts("replicas")).toEqual({ master: 0, replica: 90 });
    const { master, replica } = await counts("all");
    expect(master + replica).toBe(90);
    expect(Math.min(master, replica)).toBeGreaterThan(10);
  });

  test("a user of the list, who may do less", async (context) => {
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { user: "reports" });
    const { client } = open(context, setup);
    expect(await client.get(`session:${TAGS[0]}`)).toEqual(expect.any(String));
    await expect(client.set(`session:${TAGS[0]}`, 1)).rejects.toThrow(/NOPERM/);
  });

  test("a user without rights, and a password that is none, are told as what they are", async (context) => {
    const nobody = clusterOptions(cluster.inventory(), cluster.credentials(), { user: "nobody" });
    await refusal(open(context, nobody), /NOPERM/);
    const wrong = clusterOptions(cluster.inventory(), { username: "app", password: "of somebody else" });
    await refusal(open(context, wrong), /WRONGPASS/);
  });
});
