import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ExistingRedisClusterArgs } from "../../../infra/platforms/existing/args";
import { declareExisting, validateExisting } from "../../../infra/platforms/existing/declare";

const node = (i: number, more = {}) => ({ address: `10.0.0.${i}`, zone: ["a", "b", "c"][i % 3] ?? "", ...more });
const six = [1, 2, 3, 4, 5, 6].map((i) => node(i));
/** As plain JavaScript lets it through. */
const check = (args: unknown) => validateExisting("sessions", args as ExistingRedisClusterArgs);
const errors = (args: unknown) =>
  check(args).problems.flatMap((p) => (p.severity === "error" ? [`${p.property}: ${p.message}`] : []));
const settings = (more: object) => check({ nodes: six, ...more }).declaration?.settings;

describe("nodes", () => {
  test("are hosts with ports of Redis's own and names made of their address", () => {
    const { declaration, problems } = check({
      nodes: [node(1, { port: 7000, busPort: 7100, name: "one" }), ...six.slice(1)],
      port: 6400,
    });
    expect(problems).toEqual([]);
    expect(declaration?.hosts.slice(0, 2)).toEqual([
      { name: "one", zone: "b", endpoint: { address: "10.0.0.1", port: 7000, busPort: 7100 } },
      { name: "sessions-10-0-0-2-6400", zone: "c", endpoint: { address: "10.0.0.2", port: 6400, busPort: 16400 } },
    ]);
    const v6 = check({ nodes: ["::1", "fe80::2", "fe80::3"].map((address) => ({ address })) });
    expect(v6.declaration?.hosts.map((h) => h.name)).toEqual([
      "sessions-1-6379",
      "sessions-fe80-2-6379",
      "sessions-fe80-3-6379",
    ]);
  });

  test("all problems at once, each with what to do", () => {
    const found = errors({
      nodes: [
        { address: "10.0.0.1", zone: "a" },
        { address: "10.0.0.1", zone: "A" },
        { address: "cache.example.com", zone: "b" },
        { address: "10.0.0.4", port: 60_000 },
        { address: "10.0.0.5", port: "6379", zone: "b_1" },
        { address: "10.0.0.6", port: 70_000, zone: "b", host: "x" },
        { port: 6379, zone: "b", name: "-" },
      ],
      masters: 5,
      dataOnDestroy: "delete",
      rolling: { shardsAtOnce: 2 },
      username: "app",
    });
    for (const line of [
      /^nodes\[1\]: 10\.0\.0\.1:6379 is given already, as nodes\[0\]; give each server once$/,
      /^nodes: zone "A" is also written "a"; write each zone in one way$/,
      /^nodes\[2\]\.address: "cache\.example\.com" is not an IP address; .*give that one$/,
      /^nodes\[3\]\.busPort: is missing, and 10000 above port 60000 is no port/,
      /^nodes: 10\.0\.0\.4:60000 has no zone, and the others have one; give every node its zone, or none$/,
      /^nodes\[4\]\.port: got "6379" \(string\); must be a whole number: write 6379 without quotes$/,
      /^nodes\[4\]\.zone: "b_1" is no name of a zone/,
      /^nodes\[5\]\.port: 70000 is too high/,
      /^nodes\[5\]\.host: is not an argument; did you mean "port"\?|^nodes\[5\]\.host: is not an argument/,
      /^nodes\[6\]\.address: is missing; give the IP address/,
      /^nodes\[6\]\.name: "-" is no name of a node/,
      /^dataOnDestroy: got "delete"; data on given hosts are never deleted: leave it out$/,
      /^rolling: got .*; somebody else provides these machines.*leave it out$/,
      /^username: is given without a password/,
    ])
      expect(found).toContainEqual(expect.stringMatching(line));
  });

  test("ports and names of several servers on one host must not meet", () => {
    const found = errors({
      nodes: [
        { address: "10.0.0.1", port: 7000, name: "a" },
        { address: "10.0.0.1", port: 17_000, busPort: 7001, name: "a" },
        { address: "10.0.0.2", port: 7000, busPort: 7000 },
      ],
    });
    expect(found).toEqual([
      "nodes[2].busPort: 7000 is the client port too; give the server's cluster-port",
      "nodes[1]: client port 17000 of 10.0.0.1 is the bus port of nodes[0]; give the ports that each server has",
      'nodes[1].name: "a" is the name of nodes[0] too; give each node its own',
    ]);
  });

  test("too few, none, or not yet known", () => {
    expect(errors({ nodes: six.slice(0, 2) })).toContainEqual(
      expect.stringMatching(/^nodes: 2 are too few for a cluster/),
    );
    expect(errors({ nodes: six, masters: 4, replicasPerMaster: 1 })).toEqual([
      "nodes: 6 hosts are too few for 4 masters with 1 replica each: 8 are needed; add hosts, or ask for less",
    ]);
    expect(errors({})).toEqual([expect.stringMatching(/^nodes: got undefined; must be a plain list/)]);
    expect(errors({ nodes: { apply: () => 0 } })).toEqual([
      expect.stringMatching(/^nodes: got an Output; must be a plain list/),
    ]);
  });
});

describe("settings", () => {
  test("only what is declared is managed", () => {
    expect(settings({})).toEqual({});
    expect(settings({ masters: 3, rebalance: true })).toEqual({});
    expect(settings({ nodeTimeoutMilliseconds: 7000, requireFullCoverage: true })).toEqual({
      "cluster-node-timeout": "7000",
      "cluster-require-full-coverage": "yes",
    });
    expect(settings({ maxmemory: "1gb" })).toEqual({ maxmemory: "1073741824" });
    expect(settings({ persistence: { appendfsync: "always" } })).toEqual({ appendfsync: "always" });
    expect(settings({ persistence: { mode: "none" } })).toEqual({
      appendonly: "no",
      save: "",
      "aof-use-rdb-preamble": "yes",
    });
    expect(settings({ engine: { name: "redis", version: "7.0" }, redisConfig: { "slowlog-max-len": "99" } })).toEqual({
      "slowlog-max-len": "99",
    });
  });

  test("what would take a restart is refused with the reason, other things with theirs", () => {
    const engine = { name: "redis", version: "7.0" };
    expect(errors({ nodes: six, engine, redisConfig: { "tcp-backlog": "100", databases: "2" } })).toEqual(
      ["databases", "tcp-backlog"].map((name) =>
        expect.stringMatching(
          new RegExp(
            `^redisConfig\\.${name}: takes effect by a restart only, and somebody else provides these machines`,
          ),
        ),
      ),
    );
    expect(errors({ nodes: six, redisConfig: { hz: "20" } })).toEqual([
      expect.stringMatching(
        /^redisConfig: directives are checked by engine and version, which are not declared; add engine/,
      ),
    ]);
    expect(errors({ nodes: six, engine, redisConfig: { bind: "::", "slowlog-max-length": "1" } })).toEqual([
      expect.stringMatching(/^redisConfig\.bind: is managed/),
      expect.stringMatching(/^redisConfig\.slowlog-max-length: unknown.*slowlog-max-len/),
    ]);
    expect(errors({ nodes: six, engine, redisConfig: { "client-output-buffer-limit": "replica 1 1 1" } })).toEqual([
      expect.stringMatching(/leaves out a class/),
    ]);
  });

  test("nothing is warned about or refused only because of a default", () => {
    const args = { nodes: [...six, node(7), node(8), node(9)], minReplicasToWrite: 2, maxmemoryPolicy: "allkeys-lru" };
    expect(check(args).problems).toEqual([]);
  });
});

describe("all together", () => {
  const engine = { name: "redis", version: "7.0" };

  test("one problem hides no other", () => {
    const args = {
      nodes: [...six.slice(1), node(1, { port: 0 })],
      masters: 4,
      nodeTimeoutMilliseconds: 100,
      engine,
      redisConfig: { databases: "2", bind: "::", hz: "x", "client-output-buffer-limit": "replica 1 1 1" },
      maxmemoryPolicy: "lru-all",
    };
    expect(errors(args).map((line) => line.slice(0, 44))).toEqual([
      "nodes[5].port: 0 is too low; use the client ",
      'maxmemoryPolicy: "lru-all" is not known; use',
      "nodeTimeoutMilliseconds: 100 is too low; use",
      "redisConfig.bind: is managed by the componen",
      'redisConfig.hz: "x" is not a whole number; u',
      "redisConfig.databases: takes effect by a res",
      'redisConfig.client-output-buffer-limit: "rep',
    ]);
    expect(errors({ ...args, masters: 5, replicasPerMaster: 1 })).toContainEqual(
      expect.stringMatching(/^nodes: 6 hosts are too few for 5 masters with 1 replica each: 10 are needed/),
    );
  });

  test.each([
    ["three", 'args: got "three" (string); must be an object: { name: value }'],
    [null, "args: got null; must be an object: { name: value }"],
    [undefined, "nodes: got undefined; must be a plain list"],
    [{ nodes: six, masters: null }, "masters: got null; must be a whole number"],
    [{ nodes: six, replicasPerMaster: null }, "replicasPerMaster: got null; must be a whole number"],
    [{ nodes: six, persistence: "aof" }, 'persistence: got "aof" (string); must be an object'],
    [{ nodes: new Array(3) }, "nodes[2].address: is missing"],
    [{ nodes: six, username: 5 }, "username: got 5 (number); must be a string"],
    [{ nodes: six, passwords: "s" }, 'passwords: is not an argument; did you mean "password"?'],
  ])("values of other types, and names, are problems (%#)", (args, line) => {
    expect(errors(args)).toContainEqual(expect.stringContaining(line));
  });

  test("a password of another type is one, and its value is not shown; outputs and promises are none", () => {
    expect(errors({ nodes: six, password: 31337 })).toEqual([
      'password: got a value of type number; must be a string, or an Output of one, such as config.requireSecret("password")',
    ]);
    expect(errors({ nodes: six, password: null })).toHaveLength(1);
    for (const password of ["s", pulumi.secret("s"), Promise.resolve("s")])
      expect(errors({ nodes: six, password })).toEqual([]);
  });

  test("the error that stops a preview has the warnings too, but for those of defaults", () => {
    const args = { nodes: six, masters: 2, nodeTimeoutMilliseconds: 1000, maxmemoryPolicy: "allkeys-lru" };
    const stop = () => declareExisting("sessions", args);
    expect(stop).toThrow(pulumi.RunError);
    expect(stop).toThrow(
      /^1 problem with "sessions":\n {2}masters: 2 is too few[^\n]*\n {2}warning: nodeTimeoutMilliseconds: 1000 is low:[^\n]*$/,
    );
  });

  test("nothing throws, whatever is given", () => {
    const keys = ["nodes", "masters", "replicasPerMaster", "engine", "persistence", "redisConfig", "rolling"];
    const more = ["username", "password", "rebalance", "port", "maxmemory", "dataOnDestroy", "migration"];
    const anything = fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true });
    const directives = fc.dictionary(
      fc.constantFrom("hz", "databases", "bind", "save", "client-output-buffer-limit", "x"),
      fc.string(),
    );
    const values = fc.oneof(anything, fc.constant(six), fc.constant(engine), directives);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys, ...more), values), (args) => {
        const { declaration, problems } = check(args);
        expect(declaration === undefined).toBe(problems.some((p) => p.severity === "error"));
      }),
      { seed: Number(process.env.FC_SEED ?? 20240607), numRuns: 1000 },
    );
  });
});
