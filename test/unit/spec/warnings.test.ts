import { describe, expect, test } from "vitest";
import { errors, validate, warnings } from "./support";

describe("warnings give the reason", () => {
  test.each<[string, unknown, string[]]>([
    [
      "even masters",
      { masters: 6 },
      [
        "masters: 6 is even: a majority is 4, so it bears the loss of 2 masters at once, no more than 5 would, and a split in halves stops both; use 5 or 7",
      ],
    ],
    [
      "4 on 3 zones",
      { masters: 4 },
      [
        "masters: 4 on 3 zones puts 2 of them in one zone, half of all: its loss leaves no majority, so nothing fails over; use 3 or 5",
      ],
    ],
    [
      "no replica",
      { replicasPerMaster: 0 },
      ["replicasPerMaster: 0: the loss of any one node loses its slots and the data in them; use 1 or more"],
    ],
    [
      "more replicas than zones separate",
      { replicasPerMaster: 3 },
      [
        "replicasPerMaster: 3 and the master are 4 nodes, but there are 3 zones: some share a zone and are lost together; use 2 or less, or more zones",
      ],
    ],
    [
      "as many as there are replicas",
      { minReplicasToWrite: 1 },
      [
        expect.stringMatching(
          /^minReplicasToWrite: 1 with replicasPerMaster: 1 means that the loss of the only replica stops the writes/,
        ),
      ],
    ],
    [
      "a low node timeout",
      { nodeTimeoutMilliseconds: 1999 },
      [expect.stringMatching(/^nodeTimeoutMilliseconds: 1999 is low: /)],
    ],
    [
      "a high node timeout",
      { nodeTimeoutMilliseconds: 60001 },
      [expect.stringMatching(/^nodeTimeoutMilliseconds: 60001 is high: /)],
    ],
    [
      "an unverified version",
      { engine: { version: "7.4" } },
      [
        "engine.version: redis 7.4 is unverified: tests run against redis 7.0 and 8.0; try it on a stack of its own first",
      ],
    ],
    [
      "a future version",
      { engine: { name: "valkey", version: "12.0" } },
      [expect.stringContaining("valkey 12.0 is unverified")],
    ],
    ["persistence none", { persistence: { mode: "none" } }, [expect.stringContaining("comes back empty")]],
    [
      "settings without effect",
      { persistence: { mode: "aof", savePoints: [] } },
      [expect.stringContaining('has no effect in mode "aof"')],
    ],
    [
      "a policy without a limit",
      { maxmemoryPolicy: "allkeys-lru" },
      ['maxmemoryPolicy: "allkeys-lru" has no effect without a limit; give maxmemory or nodeMemory'],
    ],
    [
      "too little left for forks",
      { maxmemory: "900mb", nodeMemory: "1gb" },
      ["maxmemory: 900mb leaves too little of the node's 1gb for replication buffers and forks; use 614mb or less"],
    ],
    [
      "no limit on a node that has one",
      { maxmemory: "0", nodeMemory: "1gb" },
      [expect.stringContaining("0 is no limit")],
    ],
    ["very many nodes", { masters: 101 }, [expect.stringContaining("are 202 nodes: gossip and failover slow down")]],
    ["a privileged port", { port: 700 }, ["port: 700 is below 1024, which only root may listen on; use 1024 or more"]],
  ])("%s", (_, args, expected) => {
    expect(warnings(args)).toEqual(expected);
    expect(validate(args).spec).toBeDefined();
  });

  test.each(["7.0", "7.0.15", "8.0.6"])("redis %s is verified", (version) =>
    expect(warnings({ engine: { version } })).toEqual([]),
  );
  test.each(["8.1", "8.1.4", "9.1"])("valkey %s is verified", (version) =>
    expect(warnings({ engine: { name: "valkey", version } })).toEqual([]),
  );

  test("one zone and two", () => {
    expect(warnings({}, { zones: ["a"] })).toEqual([
      'zones: only one ("a"): its loss takes the whole cluster; use three',
    ]);
    expect(warnings({}, { zones: ["a", "b"] })).toEqual([
      "zones: two: one of them always holds half of the masters or more, and its loss leaves no majority, so nothing fails over; use three",
    ]);
  });

  test("outside local the ephemeral range is a warning", () => {
    expect(errors({ port: 30000 }, { platform: "aws" })).toEqual([]);
    expect(warnings({ port: 30000 }, { platform: "aws" })).toEqual([
      expect.stringContaining("so its bus port is 40000"),
    ]);
  });
});
