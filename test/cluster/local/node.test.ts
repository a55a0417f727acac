import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readInstanceRecord, writeInstanceRecord } from "../../../infra/platforms/local/runner/folder";
import { LocalNode } from "../../../infra/platforms/local/runner/node";
import { findMarked, processMark, startTime } from "../../../infra/platforms/local/runner/processes";
import { LocalVolume } from "../../../infra/platforms/local/runner/volume";
import { findServer } from "../../../infra/platforms/local/server";
import { ask, Bench, ended, eventually, hasData, killHard, pidOf, withData } from "./support";

// Drives the runner against real servers, the way Pulumi drives it, and interrupts it the ways a machine does.

let bench: Bench;
beforeEach(() => {
  bench = new Bench(findServer());
});
afterEach(() => bench.clean());

describe("starting", () => {
  test("a node answers, lives in a session of its own, and shows its mark", async () => {
    const node = await bench.createNode(bench.node(await bench.createVolume()));
    expect(await ask(node, "PING")).toBe("+PONG\r\n");
    const pid = pidOf(node);
    expect(findMarked(processMark(node.volume.path)).map((found) => found.pid)).toEqual([pid]);
    if (process.platform === "linux") {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
      const [, , group, session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      expect([Number(group), Number(session)]).toEqual([pid, pid]);
    }
    const config = path.join(node.volume.path, "redis.conf");
    expect(fs.statSync(config).mode & 0o777).toBe(0o600);
    expect((await LocalNode.read("id", node)).props.running).toBe(true);
  });

  test("secrets of the environment do not reach the server", async () => {
    process.env.PULUMI_CONFIG_PASSPHRASE = "not-for-servers";
    try {
      const node = await bench.createNode(bench.node(await bench.createVolume()));
      if (process.platform === "linux") {
        expect(fs.readFileSync(`/proc/${pidOf(node)}/environ`, "latin1")).not.toContain("not-for-servers");
      }
    } finally {
      delete process.env.PULUMI_CONFIG_PASSPHRASE;
    }
  });

  test("nothing changed means nothing to do, and the preview's choice holds", async () => {
    const declared = bench.node(await bench.createVolume());
    const first = await bench.checkNode(declared);
    expect(await bench.checkNode(declared)).toEqual(first);
    const { outs } = await LocalNode.create(first);
    const again = await bench.checkNode(declared, first);
    expect(again).toEqual(first);
    expect(await LocalNode.diff("id", outs, again)).toMatchObject({ changes: false, replaces: [] });
  });
});

describe("interrupted runs", () => {
  test("a create that ran before, and was never recorded by Pulumi, is taken over", async () => {
    const declared = bench.node(await bench.createVolume());
    const first = await bench.createNode(declared);
    const pid = pidOf(first);
    // The next run starts from nothing: no old inputs, only the disk.
    const second = await bench.createNode(declared);
    expect(pidOf(second)).toBe(pid);
    expect(second.port).toBe(first.port);
    expect(second.instance).not.toBe(first.instance);
    // What the first run believed to own is not its own any more.
    await LocalNode.delete("id", first);
    expect(await ask(second, "PING")).toBe("+PONG\r\n");
  });

  test("killed between starting the server and writing down its pid: found by its mark, not started twice", async () => {
    const declared = bench.node(await bench.createVolume());
    const first = await bench.createNode(declared);
    const pid = pidOf(first);
    const record = readInstanceRecord(first.volume.path);
    if (!record) throw new Error("no record");
    const { pid: _pid, startTime: _start, ...intent } = record;
    writeInstanceRecord(first.volume.path, intent);
    const second = await bench.createNode(declared);
    expect(pidOf(second)).toBe(pid);
    expect(findMarked(processMark(first.volume.path))).toHaveLength(1);
  });

  test("a server of an attempt that was given up is ended, and the wanted one started", async () => {
    const volume = await bench.createVolume();
    const declared = bench.node(volume);
    const first = await bench.createNode(declared);
    const pid = pidOf(first);
    const other = { ...declared, boot: [...declared.boot, { name: "tcp-backlog", value: "128" }] };
    const second = await bench.createNode(other);
    expect(pidOf(second)).not.toBe(pid);
    expect(startTime(pid)).toBeUndefined();
    expect(await ask(second, "CONFIG GET tcp-backlog")).toContain("128");
  });

  test("two creates at once end with one server", async () => {
    const inputs = await bench.checkNode(bench.node(await bench.createVolume()));
    const ends = await Promise.allSettled([LocalNode.create(inputs), LocalNode.create(inputs)]);
    expect(ends.some((end) => end.status === "fulfilled")).toBe(true);
    expect(findMarked(processMark(inputs.volume.path))).toHaveLength(1);
    const { outs } = await LocalNode.create(inputs);
    expect(findMarked(processMark(inputs.volume.path)).map(({ pid }) => pid)).toEqual([pidOf(outs)]);
  });
});

describe("dead servers", () => {
  test("a killed one is seen by read, and started again with its data and its rewritten file", async () => {
    const declared = bench.node(await bench.createVolume());
    const node = await bench.createNode(declared);
    await withData(node);
    await ask(node, "CONFIG SET maxmemory 123456789");
    await ask(node, "CONFIG REWRITE");
    await killHard(pidOf(node));

    const { props } = await LocalNode.read("id", node);
    expect(props).toEqual({ ...node, running: false });
    const news = await bench.checkNode(declared, node);
    expect(await LocalNode.diff("id", props, news)).toMatchObject({ changes: true, replaces: [] });
    const { outs } = await LocalNode.update("id", props, news);
    expect(outs).toEqual(node);
    await hasData(outs);
    expect(await ask(outs, "CONFIG GET maxmemory")).toContain("123456789");
  });

  test("a pid that belongs to someone else by now is neither believed nor killed", async () => {
    const node = await bench.createNode(bench.node(await bench.createVolume()));
    await killHard(pidOf(node));
    const stranger = spawn("sleep", ["60"], { stdio: "ignore" });
    const record = readInstanceRecord(node.volume.path);
    if (!record || stranger.pid === undefined) throw new Error("no record or no stranger");
    try {
      writeInstanceRecord(node.volume.path, { ...record, pid: stranger.pid });
      expect((await LocalNode.read("id", node)).props.running).toBe(false);
      await LocalNode.delete("id", node);
      expect(startTime(stranger.pid)).toBeDefined();
    } finally {
      stranger.kill("SIGKILL");
      await ended(stranger.pid);
    }
  });

  test("the mark in someone else's command line is not enough to be ended", async () => {
    const node = await bench.createNode(bench.node(await bench.createVolume()));
    const mark = processMark(node.volume.path);
    await killHard(pidOf(node));
    const stranger = spawn("sh", ["-c", "sleep 60", mark], { stdio: "ignore" });
    try {
      expect((await LocalNode.read("id", node)).props.running).toBe(false);
      await LocalNode.delete("id", node);
      expect(startTime(stranger.pid ?? 0)).toBeDefined();
    } finally {
      stranger.kill("SIGKILL");
    }
  });
});

describe("replacing", () => {
  test("a setting of the boot is a replacement in place: same address, port and data, another instance", async () => {
    const declared = bench.node(await bench.createVolume());
    const node = await bench.createNode(declared);
    await withData(node);
    const changed = { ...declared, boot: [...declared.boot, { name: "tcp-backlog", value: "128" }] };
    const news = await bench.checkNode(changed, node);
    expect(await LocalNode.diff("id", node, news)).toEqual({
      changes: true,
      replaces: ["boot"],
      deleteBeforeReplace: true,
    });
    expect(await bench.checkNode(changed, node)).toEqual(news);
    await LocalNode.delete("id", node);
    const { outs } = await LocalNode.create(news);
    expect([outs.address, outs.port]).toEqual([node.address, node.port]);
    expect(outs.instance).not.toBe(node.instance);
    await hasData(outs);
  });

  test("a live setting, another binary of the same version, another hint: no replacement", async () => {
    const declared = bench.node(await bench.createVolume());
    const node = await bench.createNode(declared);
    const live = await bench.checkNode({ ...declared, live: [{ name: "maxmemory", value: "1000000" }] }, node);
    expect(await LocalNode.diff("id", node, live)).toMatchObject({ changes: false });
    const hints = { ...declared.hints, firstPort: declared.hints.firstPort + 1, address: "127.0.9.1" };
    expect(await LocalNode.diff("id", node, await bench.checkNode({ ...declared, hints }, node))).toMatchObject({
      changes: false,
    });
    const moved = await bench.checkNode({ ...declared, serverPath: "/elsewhere/redis-server" }, node);
    expect(await LocalNode.diff("id", node, moved)).toMatchObject({ changes: true, replaces: [] });
    const pid = pidOf(node);
    await LocalNode.update("id", node, moved);
    expect(pidOf(node)).toBe(pid);
  });

  test("delete ends the server, leaves its data, and can be repeated", async () => {
    const node = await bench.createNode(bench.node(await bench.createVolume()));
    await withData(node);
    const pid = pidOf(node);
    await LocalNode.delete("id", node);
    expect(startTime(pid)).toBeUndefined();
    expect(fs.existsSync(path.join(node.volume.path, "appendonlydir"))).toBe(true);
    await LocalNode.delete("id", node);
  });
});

describe("errors name the cause and what to do", () => {
  test("a port in use that the user asked for, by whom; nothing is started", async () => {
    const volume = await bench.createVolume();
    const declared = bench.node(volume);
    const { port, address } = await bench.checkNode(declared);
    const fixed = { ...declared, hints: { ...declared.hints, firstPort: port, offset: 0, fixedPorts: true } };
    const inputs = await bench.checkNode(fixed);
    const squatter = net.createServer();
    await new Promise<void>((resolve) => squatter.listen({ host: address, port }, resolve));
    try {
      const pid = process.platform === "linux" ? `pid ${process.pid}` : "";
      await expect(LocalNode.create(inputs)).rejects.toThrow(
        new RegExp(`node-0 did not start: port ${address}:${port} is in use by .*${pid}.*choose another \`port\``),
      );
      expect(findMarked(processMark(volume.path))).toHaveLength(0);
      await expect(bench.checkNode(fixed)).rejects.toThrow(
        new RegExp(`node-0: port ${address}:${port} is in use by .*${pid}.*choose another \`port\``),
      );
      // A preview that comes later looks for another one, unless the user asked for exactly this.
      expect((await bench.checkNode(declared)).port).not.toBe(port);
    } finally {
      await new Promise((resolve) => squatter.close(resolve));
    }
  });

  test("a missing server", async () => {
    const declared = bench.node(await bench.createVolume(), { serverPath: "/nowhere/redis-server" });
    await expect(bench.createNode(declared)).rejects.toThrow(/there is no server at \/nowhere\/redis-server; install/);
  });

  test("a directive that the server does not know", async () => {
    const declared = bench.node(await bench.createVolume(), { boot: [{ name: "no-such-directive", value: "1" }] });
    await expect(bench.createNode(declared)).rejects.toThrow(
      /does not take this line of its configuration: "no-such-directive 1"/,
    );
    expect(findMarked(processMark(declared.volume.path))).toHaveLength(0);
  });

  test("a data folder that was removed", async () => {
    const volume = await bench.createVolume();
    fs.rmSync(volume.path, { recursive: true });
    await expect(bench.createNode(bench.node(volume))).rejects.toThrow(
      /data folder .* is missing; run `pulumi refresh`/,
    );
  });

  test("a data folder that was removed under its server: nothing is ended, and up says what to do", async () => {
    const volume = await bench.createVolume();
    const node = await bench.createNode(bench.node(volume));
    await withData(node);
    const pid = pidOf(node);
    fs.rmSync(volume.path, { recursive: true });
    expect((await LocalNode.read("id", node)).props?.running).toBe(false);
    await LocalVolume.update("id", volume, volume);
    const refusal = LocalNode.update("id", node, node);
    await expect(refusal).rejects.toThrow(`was removed while its server (pid ${pid}) runs`);
    await hasData(node);
    await killHard(pid);
    await LocalNode.update("id", node, node);
    expect(await ask(node, "DBSIZE")).toBe(":0\r\n");
  });

  test("a data folder that was removed under its server does not keep it from being deleted", async () => {
    const volume = await bench.createVolume();
    const node = await bench.createNode(bench.node(volume));
    const pid = pidOf(node);
    fs.rmSync(path.dirname(volume.path), { recursive: true });
    await LocalNode.delete("id", node);
    expect(startTime(pid)).toBeUndefined();
  });

  test("a server without data on disk comes back at once where nobody follows it, and else not before its replica leads", async () => {
    const boot = [{ name: "cluster-enabled", value: "yes" }];
    const live = [
      { name: "cluster-node-timeout", value: "500" },
      { name: "save", value: "" },
    ];
    const first = await bench.createNode(bench.node(await bench.createVolume(), { boot, live }));
    const second = await bench.createNode(bench.node(await bench.createVolume(bench.volume("node-1")), { boot, live }));
    const until = (node: Parameters<typeof ask>[0], command: string, answer: RegExp) =>
      eventually(command, async () => answer.test(await ask(node, command)));
    await ask(first, "CLUSTER ADDSLOTSRANGE 0 16383");
    await ask(second, `CLUSTER MEET ${first.address} ${first.port}`);
    await until(second, "CLUSTER INFO", /cluster_state:ok/);
    const id = /\w{40}/.exec(await ask(first, "CLUSTER MYID"))?.[0];
    await until(second, `CLUSTER REPLICATE ${id}`, /OK/);
    await until(first, "SET key value", /OK/);
    await until(second, "DBSIZE", /:1/);

    // The only leader: nobody is left to elect another one.
    await killHard(pidOf(first));
    await LocalNode.update("id", first, first);
    expect(await ask(second, "ROLE")).toMatch(/master/);
    expect(await ask(second, "DBSIZE")).toBe(":1\r\n");
    await until(first, "DBSIZE", /:1/);

    // Now the other one leads, and nobody follows this one.
    await killHard(pidOf(first));
    await LocalNode.update("id", first, first);
    await until(first, "DBSIZE", /:1/);
    expect(await ask(second, "ROLE")).toMatch(/master/);
  });

  test("data that cannot be loaded", async () => {
    const declared = bench.node(await bench.createVolume(), { boot: [{ name: "cluster-enabled", value: "yes" }] });
    fs.writeFileSync(path.join(declared.volume.path, "dump.rdb"), "not a snapshot at all");
    await expect(bench.createNode(declared)).rejects.toThrow(/cannot be loaded; repair a copy/);
  });
});
