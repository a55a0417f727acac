import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClientSettings, connectionFacts } from "../../../components/client";
import { Authority } from "../../support/certificates";
import { until } from "../../support/formation";
import { type PythonWork, python, redisPy } from "../../support/redisPy";
import { type TestServerName, testServers } from "../../support/servers";
import { ClientCluster } from "./support";
import { TAGS } from "./use";

const servers = await testServers();
const client = await redisPy();
const NAMES: readonly TestServerName[] = process.env.FULL ? ["redis-7.0", "valkey-9.1"] : ["redis-7.0"];
const HEARD = { plain: ["news plain"], sharded: TAGS.map((tag) => `news:${tag} sharded`).sort() };

/** Runs the example's client on the cluster, by its facts. */
function run(
  cluster: ClientCluster,
  work: PythonWork["work"],
  settings: ClientSettings = {},
  credentials = cluster.credentials(),
) {
  if (!client) throw new Error("no redis-py");
  const hosts = Object.fromEntries(
    cluster.nodes.flatMap(({ hostname, address }) => (hostname ? [[hostname, address]] : [])),
  );
  // Through tunnels nobody may need to know where a node really is.
  const facts = connectionFacts(cluster.inventory(), credentials, settings);
  return python(client, facts, { work, tags: TAGS, ...(settings.tunnels ? {} : { hosts }) });
}

/** Uses the cluster through tunnels, and proves that no connection went to a node in another way. */
async function throughTunnels(cluster: ClientCluster): Promise<void> {
  const { tunnels, byNode } = await cluster.tunnels();
  const before = await cluster.connections();
  const settings: ClientSettings = { tunnels, readFrom: "all" };
  expect(await run(cluster, "use", settings).outcome).toEqual(HEARD);
  expect(await run(cluster, "reads", settings).outcome).toEqual({});
  // A slot on its way: the new owner is asked through its tunnel too.
  await cluster.opened(TAGS[0] ?? "", async () => {
    expect(await run(cluster, "use", { tunnels }).outcome).toEqual(HEARD);
  });
  const after = await cluster.connections();
  for (const [node, forwarder] of byNode)
    expect((after.get(node) ?? 0) - (before.get(node) ?? 0), node).toBe(forwarder.accepted);
  expect([...byNode.values()].filter(({ accepted }) => accepted === 0)).toEqual([]);
}

describe.skipIf(!servers || !client).each(NAMES)("redis-py and %s", (server) => {
  describe("with users and without TLS", () => {
    let cluster: ClientCluster;
    beforeAll(async () => {
      const program = servers?.[server];
      const users = {
        app: "~* &* +@all -@dangerous +info",
        reports: "~session:* &* +@read +cluster|slots +readonly +command",
      };
      if (program) cluster = await ClientCluster.start({ program, users });
    });
    afterAll(() => cluster?.stop());

    test("the first user, keys and messages", async () => {
      expect(await run(cluster, "use").outcome).toEqual(HEARD);
    });

    test.skipIf(!process.env.FULL)("through tunnels", () => throughTunnels(cluster));

    test("another user, reading from replicas alone", async () => {
      const gets = () => cluster.figure("commandstats", /cmdstat_get:calls=(\d+)/);
      const before = await gets();
      expect(await run(cluster, "reads", { user: "reports", readFrom: "replicas" }).outcome).toEqual({});
      const after = await gets();
      for (const { name, role } of cluster.inventory().shards.flatMap(({ nodes }) => nodes))
        expect((after.get(name) ?? 0) - (before.get(name) ?? 0), name).toBe(role === "master" ? 0 : 30);
      const { error } = await run(cluster, "write", { user: "reports" }).outcome;
      expect(error).toMatch(/NoPermissionError/);
    });

    test("a password that is none is told at once", async () => {
      const { error } = await run(cluster, "write", {}, { username: "app", password: "of somebody else" }).outcome;
      expect(error).toMatch(/WRONGPASS|invalid username-password/);
    });
  });

  describe.skipIf(!process.env.FULL)("TLS by address", () => {
    let cluster: ClientCluster;
    beforeAll(async () => {
      const program = servers?.[server];
      if (program) cluster = await ClientCluster.start({ program, tls: "addresses" });
    });
    afterAll(() => cluster?.stop());

    test("keys and messages, each side shown a certificate", async () => {
      expect(await run(cluster, "use").outcome).toEqual(HEARD);
    });

    test("through tunnels", () => throughTunnels(cluster));

    test("a node that is another one, and another authority, are refused", async (context) => {
      const { tunnels } = await cluster.tunnels();
      const ways = Object.values(tunnels);
      const crossed = Object.fromEntries(
        Object.keys(tunnels).map((node, i) => [node, ways[(i + 2) % ways.length] ?? ""]),
      );
      expect((await run(cluster, "write", { tunnels: crossed }).outcome)["error"]).toMatch(/IP address mismatch/);
      const other = new Authority("another authority");
      context.onTestFinished(() => other.dispose());
      const credentials = cluster.credentials();
      if (credentials.tls) credentials.tls.caCertificatePem = other.caCertificatePem;
      expect((await run(cluster, "write", {}, credentials).outcome)["error"]).toMatch(/CERTIFICATE_VERIFY_FAILED/);
    });
  });

  describe("TLS by host name", () => {
    let cluster: ClientCluster;
    beforeAll(async () => {
      const program = servers?.[server];
      if (program) cluster = await ClientCluster.start({ program, tls: "names" });
    });
    afterAll(() => cluster?.stop());

    test.skipIf(!process.env.FULL)("keys and messages", async () => {
      expect(await run(cluster, "use").outcome).toEqual(HEARD);
    });

    test("through tunnels, where nobody resolves the names", () => throughTunnels(cluster));

    test("through tunnels, while a master dies: no error", async (context) => {
      const { tunnels } = await cluster.tunnels();
      const work = run(cluster, "load", { tunnels });
      context.onTestFinished(() => void work.kill());
      await until("work is under way", work.underWay);
      await cluster.kill("shard-1-zone-b");
      await until("a replica leads", async () =>
        String(await cluster.ask("shard-1-zone-c", "ROLE")).startsWith("master"),
      );
      const before = await cluster.figure("commandstats", /cmdstat_set:calls=(\d+)/);
      await until("the new master is written to", async () => {
        const now = await cluster.figure("commandstats", /cmdstat_set:calls=(\d+)/);
        return (now.get("shard-1-zone-c") ?? 0) > (before.get("shard-1-zone-c") ?? 0) + 10;
      });
      const { errors, longest } = await work.end();
      expect(errors).toEqual([]);
      expect(longest).toBeLessThan(2 * cluster.nodeTimeoutMilliseconds + 5_000);
    });
  });
});
