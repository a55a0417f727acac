import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Cluster, ClusterOptions } from "ioredis";
import { describe, expect, test } from "vitest";
import {
  type ClientSettings,
  type ClusterClientOptions,
  clusterOptions,
  connectionFacts,
  ioredisOptions,
  UnusableInput,
  type WatchedClient,
} from "../../../components/client";
import type { ClusterCredentials, ClusterInventory } from "../../../components/cluster/inventory";
import { anInventory, MUTUAL, OPEN, TLS, tunnelsTo, USERS } from "./samples";

const SECRET = "hunter2-secret";

test("types: what ioredis takes, and what is watched of it", () => {
  // Compiled, not run: an ioredis that wants something else fails the check of types.
  const options: (made: ClusterClientOptions) => ClusterOptions = (made) => made;
  const seeds: (made: ReturnType<typeof clusterOptions>["seeds"]) => ConstructorParameters<typeof Cluster>[0] = (
    made,
  ) => made;
  const watched: (client: Cluster) => WatchedClient = (client) => client;
  expect([options, seeds, watched]).toHaveLength(3);
});

describe("options", () => {
  test("of an open cluster: nobody logs in, nodes are called as the cluster calls them", () => {
    const { seeds, options, nodes } = clusterOptions(anInventory(), OPEN);
    expect(seeds[0]).toEqual({ host: "10.0.1.5", port: 6379 });
    expect(seeds).toHaveLength(6);
    expect(options).toEqual({
      ...ioredisOptions,
      scaleReads: "master",
      dnsLookup: expect.any(Function),
      redisOptions: { connectTimeout: 5_000 },
    });
    expect(nodes[1]).toMatchObject({ name: "sessions-0-zone-b", zone: "zone-b", shard: "shard-0", role: "replica" });
  });

  test("patience grows with the node timeout, and a vanished node is given up in time", () => {
    const of = (nodeTimeoutMilliseconds: number) =>
      clusterOptions(anInventory({ nodeTimeoutMilliseconds }), OPEN).options;
    expect(
      [of(1_000), of(5_000), of(15_000), of(60_000)].map((o) => [o.maxRedirections, o.redisOptions.connectTimeout]),
    ).toEqual([
      [1_000, 2_000],
      [1_000, 5_000],
      [2_100, 10_000],
      [7_500, 10_000],
    ]);
  });

  test("a user: the first one, one of the list, the administrator", () => {
    const of = (settings: ClientSettings) => clusterOptions(anInventory(), USERS, settings).options.redisOptions;
    expect(of({})).toMatchObject({ username: "app", password: "app-secret" });
    expect(of({ user: "reports" })).toMatchObject({ username: "reports", password: "reports-secret" });
    expect(of({ user: "admin" })).toMatchObject({ username: "admin", password: "admin-secret" });
  });

  test("TLS: the cluster's authority, and whose certificate is shown", () => {
    const of = (settings: ClientSettings) =>
      clusterOptions(anInventory({ tls: MUTUAL }), TLS, settings).options.redisOptions.tls;
    expect(of({})).toEqual({ ca: TLS.tls?.caCertificatePem, cert: TLS.tls?.certificatePem, key: TLS.tls?.keyPem });
    expect(of({ client: "billing" })?.cert).toContain("billing");
    const { certificatePem: _, keyPem: __, ...authority } = TLS.tls ?? { caCertificatePem: "" };
    const without = clusterOptions(anInventory({ tls: { ...MUTUAL, clientAuth: "optional" } }), {
      ...TLS,
      tls: authority,
    });
    expect(without.options.redisOptions.tls).toEqual({ ca: TLS.tls?.caCertificatePem });
  });

  test("host names: they are what is connected to, resolved by connecting alone", () => {
    const { seeds, options } = clusterOptions(anInventory({ tls: MUTUAL }, true), TLS);
    expect(seeds[0]).toEqual({ host: "sessions-0-zone-a.redis.example", port: 6379 });
    const found: unknown[] = [];
    options.dnsLookup("sessions-0-zone-a.redis.example", (...answer) => found.push(...answer));
    expect(found).toEqual([null, "sessions-0-zone-a.redis.example"]);
  });

  test("tunnels: every name of a node leads to its own, and the name to check is the node's", () => {
    const inventory = anInventory({ tls: MUTUAL }, true);
    const { seeds, options } = clusterOptions(inventory, TLS, { tunnels: tunnelsTo(inventory) });
    const tls = { ...options.redisOptions.tls, servername: "sessions-1-zone-b.redis.example" };
    expect(seeds[2]).toEqual({ host: "127.0.0.1", port: 16_381, tls });
    expect(options.natMap?.["sessions-1-zone-b.redis.example:6379"]).toEqual(seeds[2]);
    expect(options.natMap?.["10.0.2.5:6379"]).toEqual(seeds[2]);
    expect(options.retryDelayOnMoved).toBeGreaterThan(0);
  });

  test("tunnels to addresses: the certificate has to have the address, which is not sent as a name", () => {
    const inventory = anInventory({ tls: MUTUAL });
    const { seeds } = clusterOptions(inventory, TLS, { tunnels: tunnelsTo(inventory) });
    const tls = seeds[0]?.tls;
    expect(tls).not.toHaveProperty("servername");
    const certificate = (subjectaltname: string) => ({ subject: { CN: "node" }, subjectaltname }) as never;
    expect(tls?.checkServerIdentity?.("127.0.0.1", certificate("IP Address:10.0.1.5"))).toBeUndefined();
    expect(tls?.checkServerIdentity?.("127.0.0.1", certificate("IP Address:127.0.0.1"))?.message).toContain("10.0.1.5");
  });

  test("tunnels without TLS, one for a node that joins later, an address of IPv6", () => {
    const inventory = anInventory();
    const tunnels = { ...tunnelsTo(inventory), "[fd00::7]:6379": "[::1]:17000" };
    const { options } = clusterOptions(inventory, USERS, { tunnels });
    expect(options.natMap?.["10.0.1.5:6379"]).toEqual({ host: "127.0.0.1", port: 16_379 });
    expect(options.natMap?.["fd00::7:6379"]).toEqual({ host: "::1", port: 17_000 });
  });

  test("plain: the other port, and no TLS", () => {
    const inventory = anInventory({ tls: MUTUAL });
    for (const node of inventory.shards.flatMap(({ nodes }) => nodes)) node.plainPort = 6380;
    const { seeds, options } = clusterOptions(inventory, TLS, { plain: true });
    expect(seeds[0]).toEqual({ host: "10.0.1.5", port: 6380 });
    expect(options.redisOptions).not.toHaveProperty("tls");
  });
});

test("facts: the same as plain data", () => {
  const inventory = anInventory({ tls: MUTUAL }, true);
  const facts = connectionFacts(inventory, TLS, {
    tunnels: tunnelsTo(inventory),
    readFrom: "replicas",
    user: "reports",
  });
  expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
  expect(facts).toMatchObject({
    version: 1,
    cluster: "sessions",
    username: "reports",
    password: "reports-secret",
    tls: TLS.tls && { caCertificatePem: TLS.tls.caCertificatePem, keyPem: TLS.tls.keyPem },
    readFrom: "replicas",
    connectTimeoutMilliseconds: 5_000,
    failoverMilliseconds: 15_000,
    retryMilliseconds: 100,
  });
  expect(facts.nodes[3]).toEqual({
    name: "sessions-1-zone-c",
    zone: "zone-c",
    shard: "shard-1",
    role: "replica",
    address: "10.0.3.6",
    host: "sessions-1-zone-c.redis.example",
    port: 6379,
    connectHost: "127.0.0.1",
    connectPort: 16_382,
    tlsName: "sessions-1-zone-c.redis.example",
  });
  expect(connectionFacts(anInventory(), OPEN)).not.toHaveProperty("password");
});

describe("what cannot be used", () => {
  const problemsOf = (inventory: unknown, credentials: unknown, settings: unknown = {}): string[] => {
    try {
      clusterOptions(inventory as ClusterInventory, credentials as ClusterCredentials, settings as ClientSettings);
    } catch (error) {
      expect(error).toBeInstanceOf(UnusableInput);
      const [, ...lines] = (error as Error).message.split("\n");
      return lines.map((line) => line.trim());
    }
    return [];
  };

  test("nothing at all, and secrets that were not shown", () => {
    expect(problemsOf(undefined, "[secret]")).toEqual([
      "inventory: got nothing; give the stack's output `inventory`, as `pulumi stack output inventory --json` prints it",
      'credentials: got "[secret]"; give the stack\'s output `credentials`, as `pulumi stack output credentials --json --show-secrets` prints it',
    ]);
  });

  test("a version that is not known", () => {
    expect(problemsOf(anInventory({ version: 2 }), OPEN)).toEqual([
      "inventory.version: got 2, known is 1; update the package pulumi-redis-cluster here",
    ]);
    expect(problemsOf({}, OPEN)[0]).toMatch(/^inventory\.version: got nothing, known is 1; give/);
  });

  test("every field that is wrong, at once", () => {
    const inventory = anInventory({ nodeTimeoutMilliseconds: 0 });
    Object.assign(inventory.shards[0]?.nodes[1] ?? {}, { port: 70_000, zone: 7, hostname: "" });
    expect(
      problemsOf(inventory, { username: "", users: { app: {} }, tls: { caCertificatePem: "secret text" } }),
    ).toEqual([
      "inventory.nodeTimeoutMilliseconds: got 0; a whole number of milliseconds above 0 is wanted",
      "inventory.shards[0].nodes[1].zone: got 7; text is wanted",
      "inventory.shards[0].nodes[1].hostname: got empty text; a host name is wanted, or nothing",
      "inventory.shards[0].nodes[1].port: got 70000; a port from 1 to 65535 is wanted",
      "credentials.username: got empty text; text is wanted",
      "credentials.users.app.password: got nothing; text is wanted",
      "credentials.tls.caCertificatePem: got text; PEM is wanted, which begins with -----BEGIN",
    ]);
    expect(problemsOf(anInventory({ shards: [] }), OPEN)).toEqual([
      "inventory.shards: there is no node in it; at least one is needed to begin with",
    ]);
  });

  test.each([
    ["unparsed credentials in the place of the inventory", () => clusterOptions(JSON.stringify(TLS) as never, TLS)],
    [
      "all outputs, unparsed, for both",
      () => clusterOptions(JSON.stringify({ TLS }) as never, JSON.stringify({ TLS }) as never),
    ],
    [
      "a password in every place",
      () =>
        clusterOptions(anInventory({}), OPEN, {
          user: SECRET,
          client: SECRET,
          readFrom: SECRET,
          tunnels: { [SECRET]: SECRET },
          [SECRET]: 1,
        } as never),
    ],
    ["a password for a version", () => clusterOptions({ ...anInventory({}), version: SECRET } as never, OPEN)],
  ])("%s: nothing of it is shown", (_, use) => {
    expect(use).toThrow(UnusableInput);
    for (const secret of [SECRET, "BEGIN", "private-of"]) expect(use).not.toThrow(secret);
  });

  test("a setting that there is not is told, with what was meant", () => {
    expect(problemsOf(anInventory({}), OPEN, { readfrom: "replicas" } as never)).toEqual([
      'settings: "readfrom" is none; did you mean "readFrom"?',
    ]);
  });

  test("settings that name what there is not", () => {
    const inventory = anInventory({ tls: MUTUAL });
    expect(problemsOf(inventory, TLS, { user: "apps", client: "toString", readFrom: "slaves" })).toEqual([
      "readFrom: got text; one of masters, replicas, all is wanted",
      'user: got another name; one of admin, app, reports is wanted (did you mean "app"?)',
      "client: got text; one of billing is wanted",
    ]);
    expect(problemsOf(inventory, TLS, { plain: true })[0]).toMatch(/^plain: sessions-0-zone-a, .* no port without TLS/);
  });

  test("tunnels that are none, that are missing, that are shared", () => {
    const inventory = anInventory();
    const tunnels: Record<string, unknown> = { ...tunnelsTo(inventory), "10.0.1.5": "127.0.0.1:1", "10.0.9.9:6379": 7 };
    delete tunnels["10.0.2.6:6379"];
    tunnels["10.0.3.6:6379"] = "127.0.0.1:16379";
    const wanted = 'host:port is wanted, as in { "10.0.1.5:6379": "127.0.0.1:16379" }';
    expect(problemsOf(inventory, OPEN, { tunnels })).toEqual([
      `tunnels[5]: its key is none; ${wanted}`,
      `tunnels["10.0.9.9:6379"]: got 7; ${wanted}`,
      "tunnels: none for sessions-0-zone-b (10.0.2.6:6379); every node needs one, since each may come to lead its shard",
      "tunnels: 127.0.0.1:16379 is for sessions-0-zone-a and sessions-1-zone-c; each needs a port of its own",
    ]);
  });

  test("inventory and credentials of different times, and no certificate where one is asked for", () => {
    expect(problemsOf(anInventory({ tls: MUTUAL }), USERS)).toEqual([
      "credentials.tls: got nothing, while the nodes of the inventory take TLS; take both outputs from the same `up`",
    ]);
    expect(problemsOf(anInventory(), TLS)).toEqual([
      "inventory.tls: got nothing, while the credentials are for TLS; take both outputs from the same `up`",
    ]);
    const { caCertificatePem = "", clients = {} } = TLS.tls ?? {};
    expect(problemsOf(anInventory({ tls: MUTUAL }), { ...TLS, tls: { caCertificatePem, clients } })).toEqual([
      "client: nodes ask for a certificate, and the credentials have none for applications; name one of billing",
    ]);
  });

  test("no message has a secret", () => {
    const broken = { ...TLS, username: 7, users: { app: "app-secret" } };
    expect(problemsOf(anInventory({ version: 9 }), broken).join("\n")).not.toMatch(/secret(?!s)|BEGIN/);
  });
});

test("README names what is exported", () => {
  const readme = readFileSync(resolve("README.md"), "utf8");
  for (const name of ["clusterOptions", "watchCluster", "connectionFacts", "handleChanges", "transact"])
    expect(readme).toContain(name);
});
