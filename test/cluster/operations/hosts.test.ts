import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, type TestContext, test } from "vitest";
import { main } from "../../../components/operations/cli/main";
import type { HostSettingName, HostStatus } from "../../../components/operations/hosts/judge";
import { Processes } from "../../../components/operations/hosts/processes";
import { programFor, until } from "../../support/formation";
import { type RunningServer, type ServerProgram, type StartOptions, startServer } from "../../support/servers";
import { networkFor } from "../../support/zones";
import { formCluster } from "./cluster";

const LINUX = process.platform === "linux";

async function status(...args: string[]): Promise<{ code: number; out: string }> {
  const out: string[] = [];
  const code = await main(["status", ...args], {
    out: (text) => out.push(text),
    error: (text) => out.push(text),
    isTerminal: false,
    width: 120,
    env: {},
    cwd: tmpdir(),
  });
  return { code, out: out.join("\n") };
}

async function hostOf({ address, port }: RunningServer): Promise<HostStatus> {
  const { out } = await status("--node", `${address}:${port}`, "--json");
  const [host] = (JSON.parse(out) as { hosts: HostStatus[] }).hosts;
  if (!host) throw new Error(`no host in ${out}`);
  return host;
}

const setting = (host: HostStatus, name: HostSettingName) => host.settings.find((s) => s.name === name);
const proc = (path: string) => readFileSync(path, "utf8").trim();

async function start(context: TestContext, options: StartOptions): Promise<RunningServer> {
  const server = await startServer({ conf: 'cluster-enabled yes\nsave ""\n', ...options });
  context.onTestFinished(() => server.stop("SIGKILL"));
  return server;
}

/** The same program behind shell commands of ours; it keeps the pid that it is given unless these fork. */
function behind(context: TestContext, program: ServerProgram, lines: readonly string[], run = ""): ServerProgram {
  const folder = mkdtempSync(join(tmpdir(), "prc-hosts-"));
  context.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "server");
  writeFileSync(path, ["#!/bin/sh", ...lines, `exec ${run} '${program.path}' "$@"`, ""].join("\n"));
  chmodSync(path, 0o755);
  return { ...program, path };
}

/** Root may have the right to raise its own limits; a server usually has not. */
const WITHOUT_RIGHTS = process.getuid?.() === 0 ? "setpriv --bounding-set=-sys_resource" : "";

describe.runIf(LINUX)("host settings in `status`", () => {
  test("of this machine: as they are in /proc and /sys", async (context) => {
    const program = await programFor(context, "valkey-9.1");
    const server = await start(context, { server: program });
    const host = await hostOf(server);
    expect(host).toMatchObject({ address: server.address, seen: true });
    const overcommit = proc("/proc/sys/vm/overcommit_memory");
    expect(setting(host, "vm.overcommit_memory")).toMatchObject({ value: overcommit, ok: overcommit === "1" });
    const somaxconn = proc("/proc/sys/net/core/somaxconn");
    expect(setting(host, "net.core.somaxconn")).toMatchObject({
      value: somaxconn,
      wanted: "at least 511",
      ok: Number(somaxconn) >= 511,
    });
    const pages = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (existsSync(pages)) {
      const [, mode = ""] = /\[(\w+)\]/.exec(proc(pages)) ?? [];
      // Under `always` a server has them off for itself, which is what it asks for.
      expect(setting(host, "transparent_hugepage")).toMatchObject({
        value: expect.stringMatching(`^${mode}`),
        ok: true,
      });
    }
    const [, limit = ""] = /^Max open files\s+(\d+)/m.exec(proc(`/proc/${server.process.pid}/limits`)) ?? [];
    expect(setting(host, "nofile")?.value).toMatch(new RegExp(`^${limit}( |$)`));
  });

  test("a low limit of open files: found in the limit and in the lowered maxclients, a warning in a healthy cluster", async (context) => {
    const program = await programFor(context, "redis-7.0");
    const low = behind(context, program, ["ulimit -n 1024"], WITHOUT_RIGHTS);
    const cluster = await formCluster(low, { masters: 3, replicasPerMaster: 0, zones: ["a", "b", "c"] });
    context.onTestFinished(() => cluster.stop());
    const file = join([...cluster.servers.values()][0]?.dir ?? "", "inventory.json");
    writeFileSync(file, JSON.stringify(cluster.inventory));
    await until("healthy", async () => (await status("--inventory", file)).code === 0);
    const { code, out } = await status("--inventory", file, "--json");
    const report = JSON.parse(out);
    expect([code, report.healthy, report.issues]).toEqual([0, true, []]);
    const hosts: HostStatus[] = report.hosts;
    expect(hosts.map((h) => h.address)).toEqual(["127.0.1.1", "127.0.2.1", "127.0.3.1"]);
    for (const host of hosts) {
      const [name = ""] = host.nodes;
      expect(setting(host, "nofile")).toMatchObject({
        value: "1024 (maxclients 992)",
        wanted: "at least 10032",
        ok: false,
        nodes: [name],
        remedy: expect.stringContaining(`prlimit --pid ${cluster.servers.get(name)?.process.pid} --nofile=10032:10032`),
      });
    }
    const drawn = (await status("--inventory", file)).out;
    expect(drawn).toContain("✔ healthy");
    expect(drawn).toContain(
      "! 127.0.1.1, 127.0.2.1, 127.0.3.1: nofile is 1024 (maxclients 992), wanted at least 10032;",
    );
  });

  test("a lowered maxclients that CONFIG REWRITE wrote into redis.conf is not what was asked for", async (context) => {
    const program = await programFor(context, "redis-7.0");
    const server = await start(context, { server: behind(context, program, ["ulimit -n 1024"], WITHOUT_RIGHTS) });
    await server.connect().call("CONFIG", "REWRITE");
    expect(readFileSync(join(server.dir, "redis.conf"), "utf8")).toMatch(/^maxclients 992$/m);
    expect(setting(await hostOf(server), "nofile")).toMatchObject({
      ok: false,
      wanted: "at least 10032",
      remedy: expect.stringContaining("does not say `maxclients 992`"),
    });
    await server.stop();
  });

  test("fewer clients, as declared, need fewer files: no warning", async (context) => {
    const program = await programFor(context, "redis-8.0");
    const low = behind(context, program, ["ulimit -n 1024"], WITHOUT_RIGHTS);
    const server = await start(context, { server: low, conf: 'cluster-enabled yes\nsave ""\nmaxclients 500\n' });
    expect(setting(await hostOf(server), "nofile")).toMatchObject({ value: "1024", wanted: "at least 532", ok: true });
  });

  test("a pid alone is nobody: only the process that listens there, where the address is, is judged", async (context) => {
    const program = await programFor(context, "redis-7.0");
    const [one, other] = [await start(context, { server: program }), await start(context, { server: program })];
    const pid = one.process.pid ?? 0;
    const processes = new Processes();
    expect(processes.find(pid, [one.address], one.port)).toBe(pid);
    expect(processes.find(pid, ["localhost.invalid", "::ffff:127.0.0.1"], one.port)).toBe(pid);
    // Another's port: as through a tunnel, where a server elsewhere has the pid of one here.
    expect(processes.find(pid, [one.address], other.port)).toBeUndefined();
    expect(processes.find(process.pid, [one.address], one.port)).toBeUndefined();
    // It is bound to another address, and no interface here has the last one.
    expect(processes.find(pid, ["127.0.0.2"], one.port)).toBeUndefined();
    expect(processes.find(pid, ["192.0.2.1"], one.port)).toBeUndefined();
  });

  test("a server in a network of its own is judged by that one's somaxconn, in a container's pids too", async (context) => {
    const network = await networkFor(context, { zones: ["zone"], hostsPerZone: 2 });
    const program = await programFor(context, "valkey-8.1");
    // The first line changes only the network namespace that it runs in.
    const low = ["echo 100 > /proc/sys/net/core/somaxconn"];
    const plain = await start(context, {
      server: network.programIn("zone", { ...behind(context, program, low), version: `${program.version}-plain` }),
      address: network.address("zone", 0),
      port: 6379,
      conf: 'cluster-enabled yes\nsave ""\nbind 0.0.0.0\nprotected-mode no\n',
    });
    const host = await hostOf(plain);
    expect(host).toMatchObject({ seen: true, address: plain.address });
    expect(setting(host, "net.core.somaxconn")).toMatchObject({
      value: "100",
      wanted: "at least 511",
      ok: false,
      remedy: expect.stringContaining(
        `nsenter --net=/proc/${plain.process.pid}/ns/net sysctl -w net.core.somaxconn=511`,
      ),
    });
    expect(setting(host, "vm.overcommit_memory")?.value).toBe(proc("/proc/sys/vm/overcommit_memory"));
    // Everybody has 127.0.0.1: there it would be a server of this network, and it is not.
    expect(new Processes().find(plain.process.pid ?? 0, ["127.0.0.1"], plain.port)).toBeUndefined();

    const contained = behind(context, program, [], "unshare --pid --fork --kill-child --mount-proc");
    const address = network.address("zone", 1);
    const dir = mkdtempSync(join(tmpdir(), "prc-hosts-"));
    context.onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    const inside = await start(context, {
      server: network.programIn("zone", { ...contained, version: `${program.version}-contained` }),
      address,
      port: 6380,
      dir,
      conf: `cluster-enabled yes\nsave ""\nbind ${address}\nprotected-mode no\npidfile ${dir}/server.pid\n`,
      ready: () => existsSync(join(dir, "server.pid")),
    });
    const info = String(await inside.connect().call("INFO", "server"));
    expect(info).toContain("process_id:1\r\n");
    const other = await hostOf(inside);
    expect(other.seen).toBe(true);
    expect(setting(other, "net.core.somaxconn")).toMatchObject({ value: "100", ok: false });
    expect(setting(other, "nofile")?.ok).toBe(true);
  });
});
