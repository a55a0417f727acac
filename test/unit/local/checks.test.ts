import * as fs from "node:fs";
import * as path from "node:path";
import { unknownValue } from "@pulumi/pulumi/runtime/rpc";
import { describe, expect, test } from "vitest";
import { canonical, hasUnknown, same } from "../../../components/cluster/values";
import { parseVersion } from "../../../components/config/versions";
import { LOCAL_DEFAULTS } from "../../../infra/platforms/local/args";
import { startFailure, systemFailure } from "../../../infra/platforms/local/runner/failures";
import { LocalNode } from "../../../infra/platforms/local/runner/node";
import type { NodeDeclaration, NodeInputs, NodeOutputs } from "../../../infra/platforms/local/runner/types";
import { LocalVolume } from "../../../infra/platforms/local/runner/volume";

/** Where nobody listens: ports are looked at. */
const NOWHERE = { address: "127.231.77.9", port: 7813, busPort: 17813 };

const context = {
  node: "dev-0-zone-a",
  folder: "/data/n",
  address: NOWHERE.address,
  server: "/bin/redis-server",
  log: "/data/n/server.log",
};

const node: NodeInputs = {
  cluster: "dev",
  name: "dev-0-zone-a",
  zone: "zone-a",
  serverPath: "/bin/redis-server",
  engine: { name: "redis", version: "7.0.15" },
  boot: [{ name: "appendonly", value: "yes" }],
  live: [{ name: "maxmemory", value: "0" }],
  volume: { path: "/nowhere/stack/dev/dev-0-zone-a", token: "t" },
  ...NOWHERE,
  portBase: 0,
  instance: "i",
};
const running: NodeOutputs = { ...node, running: true };
const hints = {
  address: NOWHERE.address,
  addressPerZone: true,
  firstPort: NOWHERE.port,
  fixedPorts: false,
  offset: 0,
};
const declared: NodeDeclaration = { ...node, hints };

describe("what changes what", () => {
  const diff = (olds: Partial<NodeOutputs>, news: Partial<NodeInputs>) =>
    LocalNode.diff("id", { ...running, ...olds }, { ...node, ...news });

  test.each([
    ["nothing", {}, {}, false, []],
    ["a live setting", {}, { live: [] }, false, []],
    ["the program's path", {}, { serverPath: "/other" }, true, []],
    ["a dead process", { running: false }, {}, true, []],
    ["a boot setting", {}, { boot: [] }, true, ["boot"]],
    ["the version", {}, { engine: { name: "redis", version: "8.0.2" } as const }, true, ["engine"]],
    ["the address", {}, { address: "127.0.2.1" }, true, ["address"]],
    ["the port", {}, { port: 7001 }, true, ["port"]],
    ["the data folder", {}, { volume: { path: "/b", token: "t" } }, true, ["volume"]],
    ["an unknown token, as in a preview", {}, { volume: { path: node.volume.path, token: unknownValue } }, false, []],
  ] as const)("%s", async (_what, olds, news, changes, replaces) => {
    expect(await diff(olds, news)).toEqual({ changes, replaces, deleteBeforeReplace: true });
  });

  test("a replacement has another instance, the same one in every preview; the way back has a third", async () => {
    const check = async (olds: NodeInputs, news: NodeDeclaration) => (await LocalNode.check(olds, news)).inputs;
    const changed = { ...declared, boot: [] };
    const next = await check(node, changed);
    expect(next.instance).not.toBe("i");
    expect(await check(node, changed)).toEqual(next);
    const back = await check(next, declared);
    expect(["i", next.instance]).not.toContain(back.instance);
    expect((await check(node, { ...declared, live: [], serverPath: "/other" })).instance).toBe("i");
  });

  test("unknown values are left alone, and no disk is looked at", async () => {
    const unknown = { ...declared, volume: { path: unknownValue, token: unknownValue } };
    expect(await LocalNode.check({}, unknown)).toEqual({ inputs: unknown, failures: [] });
    const volume = { path: unknownValue, owner: "o", dataOnDestroy: "keep" };
    expect(await LocalVolume.check({}, volume)).toEqual({ inputs: volume, failures: [] });
  });

  test("a folder's consent is an update, its place a replacement", async () => {
    const volume = { path: "/a", owner: "o", dataOnDestroy: "keep", token: "t", present: true };
    expect(await LocalVolume.diff("id", volume, { ...volume, dataOnDestroy: "delete" })).toEqual({
      changes: true,
      replaces: [],
    });
    expect(await LocalVolume.diff("id", volume, { ...volume, path: "/b" })).toEqual({
      changes: true,
      replaces: ["path"],
    });
    const missing = { ...volume, present: false };
    expect(await LocalVolume.diff("id", missing, volume)).toEqual({ changes: true, replaces: [] });
  });
});

describe("plain data", () => {
  test("unknowns are found at any depth", () => {
    expect(hasUnknown({ a: [{ b: unknownValue }] })).toBe(true);
    expect(hasUnknown({ a: [{ b: "known" }], c: null })).toBe(false);
  });

  test("the order of keys does not count, that of lists does", () => {
    expect(same({ a: 1, b: { c: 2, d: undefined } }, { b: { c: 2 }, a: 1 })).toBe(true);
    expect(same([1, 2], [2, 1])).toBe(false);
    expect(canonical({ b: 1, a: "x" })).toBe('{"a":"x","b":1}');
  });
});

describe("what a server's last words mean", () => {
  test.each([
    [
      "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2\n>>> 'foo bar'\nBad directive or wrong number of arguments\n",
      /line of its configuration: "foo bar" \(Bad directive/,
    ],
    [
      "1:M # Unresolved Configuration(s) Detected:\n1:M # >>> 'foo bar'\n",
      /line of its configuration: "foo bar" \(neither it nor a module knows it\)/,
    ],
    [
      "1:M # Warning: Could not create server TCP listening socket 127.231.77.9:7813: bind: Address already in use\n1:M # Failed listening on port 7813 (TCP), aborting.",
      /did not start: port 127\.231\.77\.9:7813 is in use by another process; .* free this one, then run `up` again$/,
    ],
    [
      "Sorry, the cluster configuration file nodes.conf is already used by a different Redis Cluster node.",
      /another server already runs on the data/,
    ],
    ["Can't open the append-only file x: No space left on device", /no space left on the disk that holds \/data\/n/],
    ["Fatal: Can't chdir to '/x': Permission denied", /may not use the folder/],
    ["Wrong signature trying to load DB from file: abc", /cannot be loaded/],
    ["something nobody has seen", /ended with exit code 1. Log: .*\nsomething nobody has seen/],
  ])("%s", (written, message) => {
    expect(startFailure(context, written, "ended with exit code 1").message).toMatch(message);
  });

  test.each([
    [{ code: "ENOSPC", syscall: "write" }, /no space left/],
    [{ code: "ENOENT", syscall: "spawn /bin/redis-server" }, /no server at \/bin\/redis-server; install/],
    [{ code: "EACCES", syscall: "spawn /bin/redis-server" }, /not a program that this user may run/],
    [{ code: "EACCES", syscall: "open" }, /must be able to write in/],
  ])("%o", (error, message) => {
    expect(systemFailure(context, Object.assign(new Error("reason"), error)).message).toMatch(message);
  });
});

test("engine and version are read from --version", () => {
  expect(parseVersion("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64")).toEqual({
    name: "redis",
    version: "7.0.15",
  });
  expect(parseVersion("Valkey server v=8.1.1 sha=0 malloc=libc")).toEqual({ name: "valkey", version: "8.1.1" });
  expect(parseVersion("nginx version: 1.22")).toBeUndefined();
});

test("defaults are what their doc comments say", () => {
  const source = fs.readFileSync(path.join(__dirname, "../../../infra/platforms/local/args.ts"), "utf8");
  const documented = (name: string) => new RegExp(`Default: \`(.+?)\`\\. \\*/\\n  ${name}\\?:`).exec(source)?.[1];
  expect(JSON.parse(documented("zones") ?? "null")).toEqual(LOCAL_DEFAULTS.zones);
  expect(JSON.parse(documented("directory") ?? "null")).toBe(LOCAL_DEFAULTS.directory);
});
