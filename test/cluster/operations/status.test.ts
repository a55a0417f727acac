import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../../components/operations/cli/main";
import type { StatusReport } from "../../../components/operations/status";
import { type ServerProgram, testServers } from "../../support/servers";
import { type FormedCluster, formCluster } from "./cluster";

async function run(...args: string[]): Promise<{ code: number; out: string; err: string; report: StatusReport }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(["status", ...args], {
    out: (text) => out.push(text),
    error: (text) => err.push(text),
    isTerminal: false,
    width: 120,
    env: {},
    cwd: tmpdir(),
  });
  const text = out.join("\n");
  return {
    code,
    out: text,
    err: err.join("\n"),
    report: args.includes("--json") && text !== "" ? JSON.parse(text) : undefined,
  };
}

async function until(met: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await met())) {
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

describe("redis-cluster status on a real cluster", () => {
  let server: ServerProgram | undefined;
  let cluster: FormedCluster;
  let folder: string;
  let file: string;
  /** What the command is told of the cluster, and how to come in. */
  let known: string[];
  let login: string[];

  beforeAll(async () => {
    const programs = await testServers();
    if (!programs) return;
    server = programs["redis-7.0"];
    folder = mkdtempSync(join(tmpdir(), "prc-status-"));
    file = join(folder, "inventory.json");
    cluster = await formCluster(server, { masters: 3, replicasPerMaster: 1, zones: ["a", "b", "c"] });
    writeFileSync(file, JSON.stringify(cluster.inventory));
    const credentials = join(folder, "credentials.json");
    writeFileSync(credentials, JSON.stringify(cluster.credentials), { mode: 0o600 });
    login = ["--credentials", credentials];
    known = ["--inventory", file, ...login];
  });
  beforeEach(({ skip }) => {
    if (!server) skip("no test servers");
  });
  afterAll(async () => {
    if (!server) return;
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const ask = (node: string, ...command: [string, ...string[]]) => {
    const server = cluster.servers.get(node);
    if (!server) throw new Error(`no server ${node}`);
    return server.ask(...command);
  };

  it("is healthy with exit code 0, and draws every node", async () => {
    await until(async () => (await run(...known)).code === 0, "healthy");
    const { report } = await run(...known, "--json");
    expect(report.healthy).toBe(true);
    expect(report.issues).toEqual([]);
    expect(report.slots).toEqual({ assigned: 16384, ok: 16384 });
    expect(report.engine).toEqual({ name: "redis", version: server?.version });
    for (const shard of report.shards) {
      expect(shard.nodes.map((n) => n.role).sort()).toEqual(["master", "replica"]);
      expect(shard.nodes.map((n) => n.link)).toEqual(["up", "up"]);
      expect(new Set(shard.nodes.map((n) => n.zone)).size).toBe(2);
    }
    const { out } = await run(...known);
    expect(out).toContain("✔ healthy");
    for (const node of cluster.servers.keys()) expect(out).toContain(node);
    expect(out).not.toContain("\u001b");
  });

  it("finds the rest of the cluster from one node", async () => {
    const [first] = [...cluster.servers.values()];
    const { code, report } = await run("--node", `${first?.address}:${first?.port}`, ...login, "--json");
    expect(code).toBe(0);
    expect(report.shards.map((s) => s.slots)).toEqual(cluster.inventory.shards.map((s) => s.slots));
    expect(report.shards.flatMap((s) => s.nodes)).toHaveLength(6);
  });

  it("changes nothing: no writing command reaches a node", async () => {
    const [first] = [...cluster.servers.values()];
    const monitor = await first?.connect().monitor();
    const seen: string[] = [];
    monitor?.on("monitor", (_time: string, args: string[]) => seen.push(args.join(" ").toLowerCase()));
    await run(...known);
    await until(async () => seen.includes("dbsize"), "status seen by MONITOR");
    monitor?.disconnect();
    const reading = /^(hello|client setname|cluster (myid|nodes|info)|info|dbsize|config get|ping|replconf)/;
    expect(seen.filter((line) => !reading.test(line))).toEqual([]);
  });

  it("tells an open slot, and says healthy again once it is closed", async () => {
    const [first, second] = cluster.inventory.shards;
    const slot = first?.slots[0]?.split("-")[0] ?? "0";
    await ask(first?.nodes[0]?.name ?? "", "CLUSTER", "SETSLOT", slot, "MIGRATING", second?.nodes[0]?.id ?? "");
    const { code, report } = await run(...known, "--json");
    expect(code).toBe(1);
    expect(report.healthy).toBe(false);
    expect(report.issues.map((i) => i.kind)).toEqual(["open-slot"]);
    await ask(first?.nodes[0]?.name ?? "", "CLUSTER", "SETSLOT", slot, "STABLE");
    expect((await run(...known)).code).toBe(0);
  });

  it("tells leaders that are crowded in one zone", async () => {
    const [home] = cluster.inventory.shards.map((s) => s.nodes[0]?.zone);
    // Some replica lives in the zone of another master: when it takes over, that zone leads two of three shards.
    const moving = cluster.inventory.shards.slice(1).find((s) => s.nodes[1]?.zone === home);
    expect(moving).toBeDefined();
    const replica = moving?.nodes[1]?.name ?? "";
    await ask(replica, "CLUSTER", "FAILOVER");
    await until(
      async () => (await run(...known, "--json")).report.issues.map((i) => i.kind).join() === "crowded-zone",
      "crowded zone",
    );
    expect((await run(...known)).code).toBe(1);
    await ask(moving?.nodes[0]?.name ?? "", "CLUSTER", "FAILOVER");
    await until(async () => (await run(...known)).code === 0, "healthy again");
  });

  it("tells a killed node, and who leads after the failover", async () => {
    const shard = cluster.inventory.shards[0];
    const [master, replica] = shard?.nodes.map((n) => n.name) ?? [];
    await cluster.servers.get(master ?? "")?.stop("SIGKILL");
    const during = await run(...known, "--json");
    expect(during.code).toBe(1);
    expect(during.report.issues.map((i) => i.kind)).toContain("silent-node");
    expect(during.report.slots.ok).toBeLessThan(16384);
    expect(during.report.slots.assigned).toBe(16384);
    await until(async () => (await run(...known, "--json")).report.slots.ok === 16384, "failover");
    const { code, report, out } = await run(...known, "--json");
    expect(code).toBe(1);
    const nodes = report.shards[0]?.nodes ?? [];
    expect(nodes.find((n) => n.name === replica)?.role).toBe("master");
    expect(nodes.find((n) => n.name === master)).toMatchObject({ answers: false, link: "down" });
    expect(out).toContain(master);
  });

  it("could not tell when nobody answers: exit code 2 and one sentence", async () => {
    await cluster.stop();
    const { code, err, report } = await run(...known, "--json");
    expect(code).toBe(2);
    expect(err).toContain("none of the 6 nodes of ops answers");
    expect(report.healthy).toBe(false);
    const node = cluster.inventory.shards[0]?.nodes[0];
    const seed = await run("--node", `${node?.address}:${node?.port}`, ...login);
    expect(seed.code).toBe(2);
    expect(seed.err).toContain("connection refused");
  });
});

describe("redis-cluster status without a cluster", () => {
  it.each([
    [["--node", "nonsense"], "is not host:port"],
    [["--colour"], "Unknown option '--colour'"],
    [["--inventory", "/nowhere/inventory.json"], "there is no such file"],
    [["--inventory", "a", "--stack", "b"], "exclude each other"],
    [["--stack", "none"], "no inventory was found for stack none"],
  ])("%j: exit code 2", async (args, sentence) => {
    const { code, err, out } = await run(...args);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(err.split("\n")).toHaveLength(1);
    expect(out).toBe("");
  });
});
