import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clusterOptions } from "../../../components/client";
import { Authority } from "../../support/certificates";
import { Forwarder } from "../../support/forwarder";
import { type TestServerName, testServers } from "../../support/servers";
import { ClientCluster } from "./support";
import { open, refusal, resolving, TAGS, use } from "./use";

const servers = await testServers();
const NAMES: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];
const SHARDED = { shardedSubscribers: true };

describe.skipIf(!servers).each(NAMES)("%s, TLS by address", (name) => {
  let cluster: ClientCluster;
  beforeAll(async () => {
    const program = servers?.[name];
    if (program) cluster = await ClientCluster.start({ program, tls: "addresses" });
  });
  afterAll(() => cluster?.stop());

  test("keys and messages in every shard, each side shown a certificate", async (context) => {
    const { client, errors } = open(context, clusterOptions(cluster.inventory(), cluster.credentials()), SHARDED);
    await use(client);
    expect(errors).toEqual([]);
  });

  test("through tunnels: nothing goes to a node directly", async (context) => {
    const { tunnels, byNode } = await cluster.tunnels();
    const before = await cluster.connections();
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels, readFrom: "all" });
    const { client, errors } = open(context, setup, SHARDED);
    await use(client);
    for (let i = 0; i < 60; i++) await client.get(`session:${TAGS[i % 3]}`);
    // A slot on its way: the new owner is asked through its tunnel too.
    const toMasters = open(context, clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels }));
    await cluster.opened(TAGS[0] ?? "", async () => {
      const key = `session:${TAGS[0]}`;
      expect(await toMasters.client.set(key, "ahead")).toBe("OK");
      expect(await toMasters.client.get(key)).toBe("ahead");
    });
    expect([...errors, ...toMasters.errors]).toEqual([]);
    toMasters.client.disconnect();
    client.disconnect();
    const after = await cluster.connections();
    for (const [node, forwarder] of byNode) {
      expect(forwarder.accepted, node).toBeGreaterThan(0);
      expect((after.get(node) ?? 0) - (before.get(node) ?? 0), node).toBe(forwarder.accepted);
    }
  });

  test("a tunnel that leads to another node is refused by its name", async (context) => {
    const { tunnels } = await cluster.tunnels();
    const ways = Object.values(tunnels);
    const crossed = Object.fromEntries(
      Object.keys(tunnels).map((node, i) => [node, ways[(i + 2) % ways.length] ?? ""]),
    );
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels: crossed });
    await refusal(open(context, setup), /does not match certificate's altnames|is not in the cert's list/);
  });

  test("an address that the certificate does not have is refused", async (context) => {
    const inventory = cluster.inventory();
    for (const node of inventory.shards.flatMap(({ nodes }) => nodes)) {
      const forwarder = await Forwarder.start(node);
      context.onTestFinished(() => forwarder.stop());
      Object.assign(node, { address: "127.0.0.1", port: forwarder.port });
    }
    const used = open(context, clusterOptions(inventory, cluster.credentials()));
    await refusal(used, /127\.0\.0\.1 is not in the cert's list/);
  });

  test("an authority that is not the given one is refused, here and there", async (context) => {
    const other = new Authority("another authority");
    context.onTestFinished(() => other.dispose());
    const credentials = cluster.credentials();
    const { tls } = credentials;
    if (!tls) throw new Error("no TLS");
    const stranger = { ...credentials, tls: { ...tls, caCertificatePem: other.caCertificatePem } };
    await refusal(open(context, clusterOptions(cluster.inventory(), stranger)), /self-signed certificate|unable to/);
    const { certificatePem, keyPem } = other.issue("application");
    const intruder = { ...credentials, tls: { ...tls, certificatePem, keyPem } };
    await refusal(
      open(context, clusterOptions(cluster.inventory(), intruder)),
      /alert|unknown ca|Connection is closed/i,
    );
  });

  test("the ports without TLS, where they are wanted", async (context) => {
    const inventory = cluster.inventory();
    for (const node of inventory.shards.flatMap(({ nodes }) => nodes))
      node.plainPort = cluster.node(node.name).plainPort;
    const setup = clusterOptions(inventory, cluster.credentials(), { plain: true });
    expect(setup.options.redisOptions).not.toHaveProperty("tls");
    const { client, errors } = open(context, setup, SHARDED);
    await use(client);
    expect(errors).toEqual([]);
  });
});

describe.skipIf(!servers).each(NAMES)("%s, TLS by host name", (name) => {
  let cluster: ClientCluster;
  beforeAll(async () => {
    const program = servers?.[name];
    if (program) cluster = await ClientCluster.start({ program, tls: "names" });
  });
  afterAll(() => cluster?.stop());

  test("keys and messages in every shard", async (context) => {
    const setup = resolving(clusterOptions(cluster.inventory(), cluster.credentials()), cluster);
    const { client, errors } = open(context, setup, SHARDED);
    await use(client);
    expect(errors).toEqual([]);
  });

  test("through tunnels: nothing goes to a node directly, whose name nobody resolves", async (context) => {
    const { tunnels, byNode } = await cluster.tunnels();
    const before = await cluster.connections();
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels, readFrom: "all" });
    const { client, errors } = open(context, setup, SHARDED);
    await use(client);
    for (let i = 0; i < 60; i++) await client.get(`session:${TAGS[i % 3]}`);
    // A slot on its way: the new owner is asked through its tunnel too.
    const toMasters = open(context, clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels }));
    await cluster.opened(TAGS[0] ?? "", async () => {
      const key = `session:${TAGS[0]}`;
      expect(await toMasters.client.set(key, "ahead")).toBe("OK");
      expect(await toMasters.client.get(key)).toBe("ahead");
    });
    expect([...errors, ...toMasters.errors]).toEqual([]);
    toMasters.client.disconnect();
    client.disconnect();
    const after = await cluster.connections();
    for (const [node, forwarder] of byNode) {
      expect(forwarder.accepted, node).toBeGreaterThan(0);
      expect((after.get(node) ?? 0) - (before.get(node) ?? 0), node).toBe(forwarder.accepted);
    }
  });

  test("a tunnel that leads to another node is refused by its name", async (context) => {
    const { tunnels } = await cluster.tunnels();
    const ways = Object.values(tunnels);
    const crossed = Object.fromEntries(
      Object.keys(tunnels).map((node, i) => [node, ways[(i + 2) % ways.length] ?? ""]),
    );
    const setup = clusterOptions(cluster.inventory(), cluster.credentials(), { tunnels: crossed });
    await refusal(open(context, setup), /does not match certificate's altnames/);
  });
});
