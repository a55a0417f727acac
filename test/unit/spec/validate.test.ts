import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatProblems } from "../../../components/spec/validate";
import { errors, facts, validate } from "./support";

const seed = Number(process.env.FC_SEED ?? 20240607);

describe("a valid declaration", () => {
  test("nothing given: complete, with the platform's defaults, and nothing to say", () => {
    const { spec, problems } = validate({}, { zones: ["zone-c", "zone-a", "zone-b"] });
    expect(problems).toEqual([]);
    expect(spec).toEqual({
      name: "dev",
      platform: "local",
      engine: { name: "redis", version: "7.0.15" },
      masters: 3,
      replicasPerMaster: 1,
      zones: ["zone-a", "zone-b", "zone-c"],
      port: 7000,
      maxmemoryBytes: 0,
      maxmemoryPolicy: "noeviction",
      persistence: {
        mode: "hybrid",
        savePoints: [
          { seconds: 3600, changes: 1 },
          { seconds: 300, changes: 100 },
          { seconds: 60, changes: 10000 },
        ],
        appendfsync: "everysec",
      },
      minReplicasToWrite: 0,
      minReplicasMaxLagSeconds: 10,
      nodeTimeoutMilliseconds: 5000,
      requireFullCoverage: false,
      allowReadsWhenDown: false,
      replicaValidityFactor: 10,
      redisConfig: {},
      migration: {},
      shardsAtOnce: 1,
      dataOnDestroy: "delete",
    });
    expect(validate(undefined).spec).toEqual(spec);
  });

  test("everything given is taken over, sizes in bytes, directives in small letters and sorted", () => {
    const { spec, problems } = validate({
      masters: 5,
      replicasPerMaster: 2,
      engine: { name: "valkey", version: "9.1" },
      port: 6400,
      maxmemory: "10gb",
      nodeMemory: "32gb",
      maxmemoryPolicy: "allkeys-lru",
      persistence: { mode: "aof", appendfsync: "always" },
      minReplicasToWrite: 1,
      minReplicasMaxLagSeconds: 5,
      nodeTimeoutMilliseconds: 15000,
      requireFullCoverage: true,
      allowReadsWhenDown: true,
      replicaValidityFactor: 0,
      redisConfig: { "tcp-backlog": "1024", "Latency-Tracking": "no", absent: undefined },
      dataOnDestroy: "keep",
    });
    expect(problems).toEqual([]);
    expect(spec).toMatchObject({
      masters: 5,
      maxmemoryBytes: 10 * 1024 ** 3,
      persistence: { mode: "aof", savePoints: [], appendfsync: "always" },
      minReplicasToWrite: 1,
      replicaValidityFactor: 0,
      requireFullCoverage: true,
      dataOnDestroy: "keep",
    });
    expect(Object.entries(spec?.redisConfig ?? {})).toEqual([
      ["latency-tracking", "no"],
      ["tcp-backlog", "1024"],
    ]);
  });

  test("maxmemory is computed from the node's memory, as declared or as the platform knows it", () => {
    const of = (args: object, nodeMemoryBytes?: number): number | undefined =>
      validate(args, nodeMemoryBytes === undefined ? {} : { nodeMemoryBytes }).spec?.maxmemoryBytes;
    expect(of({ nodeMemory: "10gb" })).toBe(6144 * 1024 ** 2);
    expect(of({ nodeMemory: "10gb", persistence: { mode: "none" } })).toBe(7168 * 1024 ** 2);
    expect(of({}, 1000 * 1024 ** 2)).toBe(600 * 1024 ** 2);
    expect(of({ nodeMemory: "500mb" }, 1000 * 1024 ** 2)).toBe(300 * 1024 ** 2);
    expect(of({ nodeMemory: "10gb", maxmemory: "1gb" })).toBe(1024 ** 3);
  });
});

describe("errors say what they got, what is allowed and what to do", () => {
  test.each<[string, unknown, string[]]>([
    ["too few masters", { masters: 2 }, ["masters: 2 is too few for a cluster; use 3 or more (odd)"]],
    [
      "negative",
      { masters: -3, replicasPerMaster: -1 },
      [
        "masters: -3 is too few for a cluster; use 3 or more (odd)",
        "replicasPerMaster: -1 is too low; use 0 or more (1 or 2 are usual)",
      ],
    ],
    [
      "fractions and NaN",
      { masters: 3.5, replicasPerMaster: Number.NaN },
      [
        "masters: 3.5 is not a whole number; use 3 or more (odd)",
        "replicasPerMaster: NaN is not a whole number; use 0 or more (1 or 2 are usual)",
      ],
    ],
    [
      "infinity",
      { masters: Number.POSITIVE_INFINITY },
      ["masters: Infinity is not a whole number; use 3 or more (odd)"],
    ],
    [
      "a number as text",
      { masters: "3" },
      ['masters: got "3" (string); must be a whole number: write 3 without quotes'],
    ],
    ["null", { masters: null }, ["masters: got null; must be a whole number"]],
    [
      "a boolean as text",
      { requireFullCoverage: "yes" },
      ['requireFullCoverage: got "yes" (string); must be a boolean: write true without quotes'],
    ],
    [
      "an Output",
      { masters: { apply: () => 3 } },
      [
        "masters: got an Output; must be a plain whole number, because it decides what is created: read it before, from configuration",
      ],
    ],
    [
      "too many nodes",
      { masters: 501 },
      [
        "masters: 501 masters with 1 replica each are 1002 nodes; a cluster carries 1000 at most: use fewer, larger nodes",
      ],
    ],
    [
      "a bad size",
      { maxmemory: "12xb" },
      [
        'maxmemory: "12xb" is not a size; use a whole number with a unit of Redis: "b", "k" (1000), "kb" (1024), "m", "mb", "g" or "gb", such as "512mb" or "10gb"',
      ],
    ],
    ["a size as a number", { maxmemory: 512 }, ['maxmemory: got 512 (number); must be a string: write "512"']],
    [
      "a forgotten unit",
      { maxmemory: "512" },
      ['maxmemory: "512" is 512 bytes, less than an empty server takes; was a unit forgotten (512mb)?'],
    ],
    [
      "more than the node has",
      { maxmemory: "2gb", nodeMemory: "1gb" },
      ["maxmemory: 2gb is more than the node's memory of 1gb; use 614mb or less, or leave it out to have it computed"],
    ],
    ["a node too small", { nodeMemory: "1mb" }, ["nodeMemory: 1mb is too little for any data; use 64mb or more"]],
    [
      "a word that is nearly right",
      { dataOnDestroy: "keeep" },
      ['dataOnDestroy: "keeep" is not known; use one of "keep", "delete" (did you mean "keep"?)'],
    ],
    [
      "a persistence mode",
      { persistence: { mode: "AOF" } },
      ['persistence.mode: "AOF" is not known; use one of "none", "rdb", "aof", "hybrid" (did you mean "aof"?)'],
    ],
    [
      "no snapshots in rdb",
      { persistence: { mode: "rdb", savePoints: [] } },
      ['persistence.savePoints: none in mode "rdb" keeps nothing on disk; give one or more, or say mode "none"'],
    ],
    [
      "save points",
      { persistence: { savePoints: [{ seconds: 0, changes: 1 }, { seconds: 60 }, 7] } },
      [
        "persistence.savePoints[0].seconds: 0 is too low; use 1 or more",
        "persistence.savePoints[1].changes: got null; must be a whole number",
        "persistence.savePoints[2]: got 7 (number); must be an object: { name: value }",
      ],
    ],
    [
      "appendfsync",
      { persistence: { appendfsync: true } },
      ['persistence.appendfsync: got true (boolean); must be a word: one of "always", "everysec", "no"'],
    ],
    ["a port out of range", { port: 0 }, ["port: 0 is too low; use 1 to 22767"]],
    [
      "a bus port out of range",
      { port: 55536 },
      [
        "port: 55536 is too high; use 22767 or less, since the bus port is 10000 above and has to be below 32768, from where on the system gives ports to outgoing connections",
      ],
    ],
    [
      "a bus port in the ephemeral range",
      { port: 22768 },
      [
        "port: 22768, so its bus port is 32768: the system gives ports from 32768 on to outgoing connections; use 22767 or less",
      ],
    ],
    [
      "more replicas wanted than there are",
      { minReplicasToWrite: 2 },
      [
        "minReplicasToWrite: 2 is more than the 1 replica of a master, so every write would be refused; use 1 or less, or more replicas",
      ],
    ],
    [
      "a lag of 0",
      { minReplicasMaxLagSeconds: 0 },
      ["minReplicasMaxLagSeconds: 0 is too low; use 1 or more, since 0 would switch minReplicasToWrite off"],
    ],
    [
      "a node timeout too short",
      { nodeTimeoutMilliseconds: 499 },
      [
        "nodeTimeoutMilliseconds: 499 is too low; use 500 or more: below, a fork or a slow command looks like a lost node",
      ],
    ],
    [
      "an unknown engine",
      { engine: { name: "keydb" } },
      ['engine.name: "keydb" is not known; use one of "redis", "valkey"'],
    ],
    [
      "another engine without a version",
      { engine: { name: "valkey" } },
      ['engine.version: missing for valkey (this platform\'s own default is redis 7.0.15); give one, such as "9.1"'],
    ],
    ["an old version", { engine: { version: "6.2" } }, ["engine.version: redis 6.2 is too old; use 7.0 or later"]],
    [
      "an old version of Valkey",
      { engine: { name: "valkey", version: "7.1" } },
      ["engine.version: valkey 7.1 is too old; use 7.2 or later"],
    ],
    [
      "not a version",
      { engine: { version: "latest" } },
      ['engine.version: "latest" is not a version; use two or three numbers, such as "8.0"'],
    ],
    [
      "a typing error in an argument",
      { replicasPerMasters: 1 },
      ['replicasPerMasters: is not an argument; did you mean "replicasPerMaster"?'],
    ],
    [
      "a typing error further in",
      { engine: { versoin: "7.0" } },
      ['engine.versoin: is not an argument; did you mean "version"?'],
    ],
    [
      "a directive as a number",
      { redisConfig: { "tcp-backlog": 511 } },
      ['redisConfig.tcp-backlog: got 511 (number); must be a string, as in redis.conf: write "511"'],
    ],
    [
      "a directive as a boolean",
      { redisConfig: { lazyfree: true } },
      ['redisConfig.lazyfree: got true (boolean); must be a string, as in redis.conf: write "yes"'],
    ],
    [
      "a smuggled directive",
      { redisConfig: { "latency-tracking": "no\nrequirepass x" } },
      ['redisConfig.latency-tracking: "no\\nrequirepass x" has a line break in it; use one line, one directive'],
    ],
    [
      "a directive twice",
      { redisConfig: { "tcp-backlog": "1", "TCP-backlog": "2" } },
      ["redisConfig.tcp-backlog: is given twice, in capitals and in small letters; give it once"],
    ],
    [
      "a directive's name",
      { redisConfig: { "a b": "x" } },
      ['redisConfig: "a b" is not a directive\'s name; use letters, digits and hyphens, as in redis.conf'],
    ],
    ["no object at all", "three", ['args: got "three" (string); must be an object: { name: value }']],
  ])("%s", (_, args, expected) => {
    const { spec } = validate(args);
    expect(errors(args)).toEqual(expected);
    expect(spec).toBeUndefined();
  });

  test("an unknown argument that resembles nothing lists what there is, the platform's own too", () => {
    expect(errors({ colour: "red" }, { platformArguments: ["subnets"] })[0]).toMatch(
      /^colour: is not an argument; use one of allowReadsWhenDown, .*replicasPerMaster.*, subnets, tls, users$/,
    );
    expect(errors({ subnets: {} }, { platformArguments: ["subnets"] })).toEqual([]);
  });

  test("the policy error lists all policies", () => {
    const [line] = errors({ maxmemoryPolicy: "lru" });
    for (const policy of [
      "noeviction",
      "allkeys-lru",
      "allkeys-lfu",
      "allkeys-random",
      "volatile-lru",
      "volatile-lfu",
      "volatile-random",
      "volatile-ttl",
    ]) {
      expect(line).toContain(`"${policy}"`);
    }
  });

  test.each(["", "a b", "../etc", "x\ny", "-x", "x-", "7up", "naïve", "a/b", "a.b", 5, null])("the name %j", (name) => {
    expect(errors({}, {}, name as string)).toEqual([
      expect.stringMatching(/^name: .* use letters, digits and hyphens/),
    ]);
  });

  test("long names: of the component, and of nodes made from it", () => {
    expect(errors({}, {}, "a".repeat(40))).toEqual([]);
    expect(errors({}, {}, "a".repeat(41))).toEqual([expect.stringContaining("has 41 characters; use 40 or less")]);
    const zones = ["a", "b", "c".repeat(30)];
    expect(errors({}, { zones }, "a".repeat(30))).toEqual([]);
    expect(errors({}, { zones }, "a".repeat(31))).toEqual([
      expect.stringContaining("of 64 characters; a host name's label has 63 at most"),
    ]);
  });

  test.each<[string[], string[]]>([
    [[], ["zones: none given; name at least one, better three"]],
    [["a", "b", "a"], ['zones: "a" is given twice; name each zone once']],
    [["a", "A", "b"], ['zones: "A" is given twice (as "a"); name each zone once']],
    [
      ["a", "", "../b"],
      [
        'zones: "" cannot be used in host names and file names; use letters, digits and hyphens, no hyphen first or last',
        'zones: "../b" cannot be used in host names and file names; use letters, digits and hyphens, no hyphen first or last',
      ],
    ],
  ])("zones %j", (zones, expected) => {
    expect(errors({}, { zones })).toEqual(expected);
    expect(errors({}, { zones, zonesProperty: "subnets" })).toEqual(
      expected.map((line) => line.replace("zones:", "subnets:")),
    );
  });

  test("zones whose names would give two nodes one name, only where they would", () => {
    const zones = ["worker", "worker-2"];
    expect(errors({ replicasPerMaster: 1 }, { zones })).toEqual([]);
    expect(errors({ replicasPerMaster: 2 }, { zones })).toEqual([
      'zones: "worker-2" is also the name of node 2 of a shard in "worker"; rename one of the two zones',
    ]);
  });

  test("memory beyond the machine's", () => {
    expect(errors({ nodeMemory: "2gb" }, { nodeMemoryBytes: 1024 ** 3 })).toEqual([
      "nodeMemory: 2gb is more than the 1gb that the machine has; use 1gb or less",
    ]);
  });

  test("directives are judged by who knows them, in small letters, for the engine", () => {
    const seen: unknown[] = [];
    const problem = {
      severity: "error",
      property: "redisConfig.maxmemroy",
      message: 'is unknown; did you mean "maxmemory"?',
    } as const;
    const { problems, spec } = validate(
      { redisConfig: { Maxmemroy: "1" } },
      {
        checkRedisConfig: (config, engine) => {
          seen.push(config, engine);
          return [problem];
        },
      },
    );
    expect(seen).toEqual([{ maxmemroy: "1" }, { name: "redis", version: "7.0.15" }]);
    expect(problems).toEqual([problem]);
    expect(spec).toBeUndefined();
  });
});

describe("all together", () => {
  test("every problem is in one text, errors first", () => {
    const { problems } = validate({
      masters: 2,
      maxmemoryPolicy: "lru-all",
      nodeTimeoutMilliseconds: 1000,
      port: 70000,
    });
    expect(
      formatProblems("sessions", problems)
        .split("\n")
        .map((line) => line.slice(0, 45)),
    ).toEqual([
      '3 problems with "sessions":',
      "  masters: 2 is too few for a cluster; use 3 or more (odd)".slice(0, 45),
      "  port: 70000 is too high; use 22767 or less, since".slice(0, 45),
      '  maxmemoryPolicy: "lru-all" is not known; use one of'.slice(0, 45),
      "  warning: nodeTimeoutMilliseconds: 1000 is low:".slice(0, 45),
    ]);
    expect(
      formatProblems(
        "x",
        problems.filter(({ severity }) => severity === "warning"),
      ),
    ).toMatch(/^1 warning with "x":\n {2}nodeTimeout/);
    expect(formatProblems("x", [])).toBe("");
  });

  test("what does not depend on a wrong argument is said beside it, what does is not", () => {
    const said = (args: object, more = {}) =>
      validate(args, more).problems.map(({ property, message }) => `${property}: ${message}`.slice(0, 36));
    expect(said({ masters: 2, replicasPerMaster: 5, port: 700 })).toEqual([
      "masters: 2 is too few for a cluster;",
      "replicasPerMaster: 5 and the master ",
      "port: 700 is below 1024, which only ",
    ]);
    // Nobody asked for 3 masters or for 1 replica: those defaults are no reason to refuse anything.
    expect(said({ masters: 2, rolling: { shardsAtOnce: 2 } })).toEqual(["masters: 2 is too few for a cluster;"]);
    expect(said({ masters: 2, rolling: { shardsAtOnce: 0 } })).toHaveLength(2);
    expect(said({ replicasPerMaster: "3", minReplicasToWrite: 2, masters: 6 })).toEqual([
      'replicasPerMaster: got "3" (string);',
      "masters: 6 is even: a majority is 4,",
    ]);
    expect(said({ masters: 4, replicasPerMaster: 0 }, { zones: ["a", "b_"] })).toEqual([
      'zones: "b_" cannot be used in host n',
      "masters: 4 is even: a majority is 3,",
      "replicasPerMaster: 0: the loss of an",
    ]);
    expect(said({ masters: 2, replicasPerMaster: 2 }, { zones: ["w", "w-2"] })).toEqual([
      "masters: 2 is too few for a cluster;",
      expect.stringMatching(/^zones: two: one of them/),
      "replicasPerMaster: 2 and the master ",
      'zones: "w-2" is also the name of nod',
    ]);
    expect(said({ maxmemory: "12xb", maxmemoryPolicy: "allkeys-lru" })).toEqual([
      'maxmemory: "12xb" is not a size; use',
    ]);
  });

  test("nothing throws, whatever is given, and a spec comes only without errors", () => {
    const keys = [...Object.keys({ ...validate({}).spec }), "nodeMemory", "maxmemory", "x"];
    const anything = fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true });
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), anything), anything, (args, zones) => {
        const { spec, problems } = validate(args, { zones: (Array.isArray(zones) ? zones : facts.zones) as string[] });
        expect(spec === undefined).toBe(problems.some(({ severity }) => severity === "error"));
        for (const { message } of problems) expect(message.length).toBeGreaterThan(0);
      }),
      { seed, numRuns: 1000 },
    );
  });
});

describe("rolling", () => {
  test("as many shards at once as leave a majority of masters", () => {
    expect(validate({ masters: 5, rolling: { shardsAtOnce: 2 } }).spec?.shardsAtOnce).toBe(2);
    expect(validate({ masters: 7, rolling: {} }).spec?.shardsAtOnce).toBe(1);
  });

  test.each([
    [
      3,
      2,
      "rolling.shardsAtOnce: 2 is too high; with 3 masters use 1 or less, so that a majority of 2 runs at every moment",
    ],
    [
      6,
      3,
      "rolling.shardsAtOnce: 3 is too high; with 6 masters use 2 or less, so that a majority of 4 runs at every moment",
    ],
    [3, 0, "rolling.shardsAtOnce: 0 is too low; use 1 (one shard after the other) or more"],
    [3, 1.5, "rolling.shardsAtOnce: 1.5 is not a whole number; use 1 (one shard after the other) or more"],
  ])("%i masters, %d at once", (masters, shardsAtOnce, message) => {
    expect(errors({ masters, rolling: { shardsAtOnce } })).toEqual([message]);
  });

  test("a name that nobody knows", () => {
    expect(errors({ rolling: { shardAtOnce: 1 } })).toEqual([
      'rolling.shardAtOnce: is not an argument; did you mean "shardsAtOnce"?',
    ]);
  });
});
