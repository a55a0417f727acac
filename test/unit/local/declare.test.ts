import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { LocalRedisClusterArgs } from "../../../infra/platforms/local/args";
import { declareLocal } from "../../../infra/platforms/local/declare";

let folder: string;
/** Programs that say who they are, which is all that a declaration asks of a server. */
const server: Record<"redis" | "valkey" | "old", string> = { redis: "", valkey: "", old: "" };

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "declare-"));
  for (const [name, words] of [
    ["redis", "Redis server v=7.0.15 sha=0"],
    ["valkey", "Valkey server v=9.1.0 sha=0"],
    ["old", "Redis server v=6.2.14 sha=0"],
  ] as const) {
    server[name] = path.join(folder, name);
    fs.writeFileSync(server[name], `#!/bin/sh\necho "${words}"\n`, { mode: 0o755 });
  }
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.unstubAllEnvs();
});

/** What stops the preview, a line for each problem. @param args as plain JavaScript lets them through */
function refusal(args: unknown): string[] {
  try {
    declareLocal("dev", args as LocalRedisClusterArgs);
  } catch (error) {
    expect(error, String(error)).toBeInstanceOf(pulumi.RunError);
    return (error as Error).message.split("\n").map((line) => line.trim());
  }
  throw new Error("nothing was refused");
}

describe("all problems in one preview", () => {
  test("a server that is not there hides none of the others", () => {
    expect(
      refusal({
        serverBinary: "/nope",
        masters: 2,
        port: 70_000,
        redisConfig: { bind: "::", "slowlog-max-length": "1" },
      }),
    ).toEqual([
      '4 problems with "dev":',
      "masters: 2 is too few for a cluster; use 3 or more (odd)",
      expect.stringMatching(/^port: 70000 is too high; use 21768 or less/),
      expect.stringMatching(/^redisConfig.bind: is managed by the component/),
      expect.stringMatching(/^serverBinary: "\/nope" is not a server that answers --version; install redis-server/),
      expect.stringMatching(
        /^warning: redisConfig.slowlog-max-length: unknown to every .* did you mean slowlog-max-len\?$/,
      ),
    ]);
  });

  test("REDIS_SERVER, and a server that is too old, are named as what they are", () => {
    vi.stubEnv("REDIS_SERVER", "/nowhere/redis-server");
    expect(refusal({ masters: 2 })).toContainEqual(
      expect.stringMatching(/^REDIS_SERVER: "\/nowhere\/redis-server" is not a server that answers --version; /),
    );
    expect(refusal({ serverBinary: server.old, masters: 2 })).toContainEqual(
      expect.stringMatching(/^serverBinary: ".*old" is version 6\.2\.14, too old; /),
    );
  });

  test("no server anywhere is a problem among the others", () => {
    vi.stubEnv("REDIS_SERVER", "");
    vi.stubEnv("PATH", "");
    vi.spyOn(process, "cwd").mockReturnValue(folder);
    try {
      expect(refusal({ masters: 2 })).toEqual([
        '2 problems with "dev":',
        expect.stringMatching(/^masters: 2 is too few/),
        expect.stringMatching(/^serverBinary: not given, and there is no server to run; install redis-server/),
      ]);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test.each([
    [{ name: "valkey", version: "9.1" }, "valkey 9.1"],
    [{ name: "valkey" }, "valkey"],
    [{ version: "7.2" }, "redis 7.2"],
    [{ version: "7.0.1" }, "redis 7.0.1"],
  ])("another engine than the server is, %j, with what else is wrong", (engine, declared) => {
    const found = refusal({ serverBinary: server.redis, engine, masters: 2, port: 0 });
    expect(found.slice(0, 4)).toEqual([
      '3 problems with "dev":',
      "masters: 2 is too few for a cluster; use 3 or more (odd)",
      `engine: ${declared} is declared, but ${server.redis} is redis 7.0.15; leave \`engine\` out, or point \`serverBinary\` to the declared one`,
      expect.stringMatching(/^port: 0 is too low/),
    ]);
  });

  test("an engine that the server is, however short, is none", () => {
    for (const engine of [{ name: "redis" }, { version: "7.0" }, { name: "redis", version: "7.0.15" }])
      expect(refusal({ serverBinary: server.redis, engine, masters: 2 })).toHaveLength(2);
    expect(
      refusal({ serverBinary: server.valkey, engine: { name: "valkey", version: "9.1" }, masters: 2 }),
    ).toHaveLength(2);
  });

  test("the warnings stand below the errors", () => {
    expect(
      refusal({ serverBinary: server.redis, masters: 2, replicasPerMaster: 5, nodeTimeoutMilliseconds: 1000 }),
    ).toEqual([
      '1 problem with "dev":',
      expect.stringMatching(/^masters: 2 is too few/),
      expect.stringMatching(/^warning: replicasPerMaster: 5 and the master are 6 nodes/),
      expect.stringMatching(/^warning: nodeTimeoutMilliseconds: 1000 is low/),
    ]);
  });
});

describe("values of other types", () => {
  test.each([
    [{ directory: 5 }, 'directory: got 5 (number); must be a string: write "5"'],
    [{ directory: null }, "directory: got null; must be a string"],
    [{ serverBinary: 5 }, 'serverBinary: got 5 (number); must be a string: write "5"'],
    [{ serverBinary: {} }, "serverBinary: got {} (object); must be a string"],
    [{ zones: null }, "zones: got null; must be a list of zone names"],
    [null, "args: got null; must be an object: { name: value }"],
    [5, "args: got 5 (number); must be an object: { name: value }"],
    [[], "args: got [] (a list); must be an object: { name: value }"],
  ])("%j", (args, line) => {
    vi.stubEnv("REDIS_SERVER", server.redis);
    expect(refusal(args)).toEqual(['1 problem with "dev":', line]);
  });

  test("nothing but a refusal comes of whatever is given", () => {
    const keys = ["zones", "directory", "engine", "masters", "port", "persistence", "redisConfig", "rolling", "x"];
    const anything = fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true });
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), anything), (args) => {
        // One thing is wrong in any case, so that all go the same way.
        expect(refusal({ ...args, serverBinary: 5 }).length).toBeGreaterThan(1);
      }),
      { seed: Number(process.env.FC_SEED ?? 20240607), numRuns: 300 },
    );
  });
});

describe("ports", () => {
  test("those of the last node count, with its bus port", () => {
    expect(refusal({ serverBinary: server.redis, port: 22_760 })[1]).toBe(
      "port: 22760 makes the last node's port 22777 (3 masters with 1 replica each, 8 ports a shard), so its bus port is 32777: the system gives ports from 32768 on to outgoing connections; use 22750 or less",
    );
  });

  test("more nodes than there are ports for are refused, whether a port is declared or not", () => {
    expect(refusal({ serverBinary: server.redis, masters: 126, replicasPerMaster: 8 }).slice(0, 3)).toEqual([
      '2 problems with "dev":',
      "masters: 126 is too high; use 125 or less, since a cluster has 1000 ports here, 8 for each shard",
      "replicasPerMaster: 8 is too high; use 7 or less, since a shard has 8 ports here, its master's among them",
    ]);
  });
});
