import { rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, type TestContext, test } from "vitest";
import { redisCliCheck } from "../../support/clients";
import { until } from "../../support/formation";
import { onlyInFull } from "../../support/full";
import type { Project } from "../../support/project";
import { type TestServerName, testServers } from "../../support/servers";
import { changingCalls, existingProject, type HostOptions, Hosts } from "./support";

const servers = await testServers();

/** The longer half, in `npm run test:full` only. */

describe.skipIf(!servers)("hosts that somebody else provides", { timeout: 280_000 }, () => {
  async function hostsFor(
    { onTestFinished }: TestContext,
    options: HostOptions,
    name: TestServerName = "redis-7.0",
  ): Promise<Hosts> {
    const program = servers?.[name];
    if (!program) throw new Error("no server");
    const hosts = await Hosts.start(program, options);
    onTestFinished(() => hosts.stop());
    return hosts;
  }

  /** What a run says, without what it gives out. */
  async function preview(project: Project): Promise<string> {
    const result = await project.engine.preview();
    expect(result, result.stdout).toMatchObject({ ok: true });
    return result.stdout;
  }

  async function refusal(project: Project): Promise<string> {
    const result = await project.up();
    expect(result.ok).toBe(false);
    return result.stdout + result.stderr;
  }

  async function expectWhole(hosts: Hosts, count: number): Promise<void> {
    for (const { address, port } of hosts.addresses.slice(0, count))
      expect(await redisCliCheck(hosts.cliPath, { address, port })).toMatchObject({ ok: true });
  }

  test("a cluster made by redis-cli: taken over without one changing command, whatever the order of the list", async (ctx) => {
    const hosts = await hostsFor(ctx, { count: 6 });
    await hosts.create(6, 1);
    await hosts.fill(300);
    const before = await hosts.picture();
    const project = await existingProject(ctx, { nodes: [...hosts.addresses].reverse() });
    const changing = await changingCalls(hosts, async () => {
      const text = await preview(project);
      expect(text).toMatch(
        /sessions: existing cluster \(observed now: 6 of 6 hosts answered\), redis 7\.0\.15, 3 masters/,
      );
      expect(text).toMatch(/steps: none: it is taken over as it is/);
      const { stdout } = await project.mustUp();
      expect(stdout).toMatch(/verified: 16384 slots in 3 shards, 6 nodes agree, .*nothing was changed/);
      // A second run, and a look at what it says, change nothing either.
      expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
      const refreshed = await project.engine.refresh();
      expect(refreshed.stdout).toMatch(/3 unchanged/);
    });
    expect(changing).toEqual([]);
    expect(await hosts.picture()).toBe(before);
    const { shards, zones, engine, survives } = await project.inventory();
    expect(shards.map((s) => s.slots)).toEqual([["0-5460"], ["5461-10922"], ["10923-16383"]]);
    expect(shards.map((s) => s.nodes.map((n) => n.role))).toEqual(Array(3).fill(["master", "replica"]));
    expect({ zones, engine, zone: survives.oneZone.writes }).toEqual({
      zones: ["a", "b", "c"],
      engine: { name: "redis", version: "7.0.15" },
      zone: true,
    });

    // Only what is declared is managed, and it is kept through a restart of the server.
    const pids = hosts.pids();
    project.declare({ nodes: hosts.addresses, nodeTimeoutMilliseconds: 2500 });
    expect(await preview(project)).toMatch(/cluster-node-timeout: not declared → "2500", set live on every node/);
    await project.mustUp();
    for (const [i] of hosts.addresses.entries()) {
      expect(await hosts.call(i, "CONFIG", "GET", "cluster-node-timeout")).toEqual(["cluster-node-timeout", "2500"]);
      expect(await hosts.call(i, "CONFIG", "GET", "slowlog-max-len")).toEqual(["slowlog-max-len", "111"]);
      expect(hosts.file(i, "redis.conf")).toMatch(/^cluster-node-timeout 2500$/m);
    }
    expect(hosts.pids()).toEqual(pids);

    // The end of the stack is not the end of the hosts.
    expect((await project.engine.destroy()).ok).toBe(true);
    expect(hosts.pids()).toEqual(pids);
    await hosts.agree(6);
    expect(await hosts.missing(300)).toEqual([]);
  });

  onlyInFull(
    "an uneven one stays uneven until rebalance is declared; then it scales out and in among hosts, and keeps every key",
    async (ctx) => {
      const hosts = await hostsFor(ctx, { count: 8 });
      await hosts.create(6, 1);
      const [first] = hosts.addresses;
      hosts.cli(
        ...["--cluster", "reshard", `${first?.address}:${first?.port}`, "--cluster-slots", "1500", "--cluster-yes"],
        ...["--cluster-from", await hosts.id(0), "--cluster-to", await hosts.id(1)],
      );
      await hosts.agree(6);
      await hosts.fill(2000);
      const found = await hosts.slots();
      expect([...found.values()].sort()).not.toEqual([5461, 5461, 5462]);
      const six = hosts.addresses.slice(0, 6);
      const project = await existingProject(ctx, { nodes: six });
      await project.mustUp();
      expect(await hosts.slots()).toEqual(found);

      // More masters: a new shard gets an average share, the others stay in proportion.
      project.declare({ nodes: hosts.addresses, masters: 4 });
      expect(await preview(project)).toMatch(/change: slots: .* → .*4096/);
      await project.mustUp();
      const scaled = [...(await hosts.slots()).values()];
      expect(scaled).toHaveLength(4);
      expect(scaled).toContain(4096);
      expect(Math.max(...scaled) - Math.min(...scaled)).toBeGreaterThan(1000);
      await expectWhole(hosts, 8);

      project.declare({ nodes: hosts.addresses, masters: 4, rebalance: true });
      await project.mustUp();
      expect([...(await hosts.slots()).values()]).toEqual([4096, 4096, 4096, 4096]);
      expect(await hosts.missing(2000)).toEqual([]);

      // Out of the list again: drained, forgotten, running on.
      const pids = hosts.pids();
      project.declare({ nodes: six, rebalance: true });
      const text = await preview(project);
      expect(text).toMatch(/move \d+ slots to[\s\S]*leaving:[\s\S]*leave: empty of slots, it is reset/);
      expect(text).not.toMatch(/delete|replace /);
      await project.mustUp();
      await hosts.agree(6);
      expect([...(await hosts.slots()).values()].sort()).toEqual([5461, 5461, 5462]);
      expect(hosts.pids()).toEqual(pids);
      for (const i of [6, 7]) {
        expect(await hosts.view(i)).toHaveLength(1);
        expect(await hosts.call(i, "DBSIZE")).toBe(0);
      }
      expect(await hosts.missing(2000)).toEqual([]);
      expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
    },
  );

  onlyInFull("blank hosts are formed, with a password that nobody prints; what fails is mended", async (ctx) => {
    const password = "s3cr3t-of-the-hosts";
    const hosts = await hostsFor(ctx, { count: 7, password });
    const six = { nodes: hosts.addresses.slice(0, 6), password, nodeTimeoutMilliseconds: 2000 };
    const project = await existingProject(ctx, six);
    const said = [await preview(project)];
    expect(said[0]).toMatch(/steps: assign 16384 slots to 3 masters · join 6 nodes · 3 replicas/);
    said.push((await project.mustUp()).stdout);
    await hosts.agree(6);
    await hosts.fill(500);

    // A replica's data folder is lost with its nodes.conf.
    const [, replica] = (await project.inventory()).shards[0]?.nodes ?? [];
    const lost = hosts.addresses.findIndex((h) => h.port === replica?.port);
    await hosts.kill(lost);
    rmSync(join(hosts.dir(lost), "nodes.conf"));
    await hosts.startHost(lost);
    said.push((await project.mustUp()).stdout);
    await hosts.agree(6);
    expect(await hosts.missing(500)).toEqual([]);

    // So is a leader's, which is back with its data before anybody calls it failed.
    const shards = (await project.inventory()).shards;
    const leader = shards[1]?.nodes.find((n) => n.role === "master");
    const leads = hosts.addresses.findIndex((h) => h.port === leader?.port);
    await hosts.kill(leads);
    rmSync(join(hosts.dir(leads), "nodes.conf"));
    await hosts.startHost(leads);
    said.push((await project.mustUp()).stdout);
    await hosts.agree(6);
    expect(await hosts.missing(500)).toEqual([]);

    // A dead host cannot be started from here: it is named, and its successor takes its place.
    await hosts.kill(lost);
    await until("the others call it failed", async () =>
      (await hosts.view(lost === 0 ? 1 : 0)).some((e) => e.port === replica?.port && e.health === "fail"),
    );
    const text = await refusal(project);
    expect(text).toMatch(
      new RegExp(`${replica?.name} at .* does not answer: connection refused[\\s\\S]*→ start the server`),
    );
    project.declare({ ...six, nodes: hosts.addresses.filter((_, i) => i !== lost) });
    said.push(text, (await project.mustUp()).stdout);
    expect((await project.nodes()).map((n) => n.port)).toContain(hosts.at(6).port);
    expect((await project.nodes()).map((n) => n.port)).not.toContain(replica?.port);
    expect(await hosts.missing(500)).toEqual([]);

    const state = JSON.stringify(await project.engine.exportStack());
    for (const printed of [...said, state]) expect(printed).not.toContain(password);
    const secret = (await project.engine.outputs({ showSecrets: true }))["credentials"];
    expect(secret).toEqual({ username: "default", password });
  });

  onlyInFull("what cannot be taken over is refused with the evidence, and nothing is sent to anybody", async (ctx) => {
    const hosts = await hostsFor(ctx, { count: 8 });
    await hosts.create(6, 1);
    await hosts.call(6, "CLUSTER", "ADDSLOTSRANGE", 0, 16_383);
    await until("it serves", async () => /cluster_state:ok/.test(String(await hosts.call(6, "CLUSTER", "INFO"))));
    await hosts.call(6, "SET", "somebody's", "data");
    const six = hosts.addresses.slice(0, 6);
    const fifth = hosts.at(4);
    const before = await hosts.picture();
    const project = await existingProject(ctx, {});
    const changing = await changingCalls(hosts, async () => {
      project.declare({ nodes: six.filter((h) => h !== fifth) });
      expect(await preview(project)).toMatch(/sessions: the hosts cannot be taken over/);
      expect(await refusal(project)).toMatch(
        new RegExp(
          `nothing was changed, because\\s+.* know node ${await hosts.id(4)} at ${fifth.address}:${fifth.port}, which is not in the \`nodes\` of sessions\\s+→ add it`,
        ),
      );
      project.declare({ nodes: hosts.addresses.slice(0, 7) });
      expect(await refusal(project)).toMatch(/2 clusters that own slots: .*\(16384 slots, 1 keys\)/);
      project.declare({ nodes: six, engine: { name: "redis", version: "8.0" } });
      expect(await refusal(project)).toMatch(
        /runs redis 7\.0\.15, declared redis 8\.0[\s\S]*not replaced or rolled from here/,
      );
      project.declare({ nodes: six, engine: { name: "redis", version: "7.0" }, redisConfig: { "tcp-backlog": "77" } });
      expect(await refusal(project)).toMatch(
        /redisConfig\.tcp-backlog: takes effect by a restart only, and somebody else/,
      );
      project.declare({ nodes: [...six.slice(0, 5), { ...fifth, zone: "b" }], masters: 7 });
      expect(await refusal(project)).toMatch(/is given already, as nodes\[4\][\s\S]*6 hosts are too few for 7 masters/);
    });
    expect(changing).toEqual([]);
    expect(await hosts.picture()).toBe(before);
    expect(JSON.stringify((await project.engine.exportStack()).deployment.resources ?? [])).not.toContain(
      "ExistingFormation",
    );

    // Under management, what would need other machines stays refused.
    project.declare({ nodes: six });
    await project.mustUp();
    project.declare({ nodes: six, masters: 4 });
    const more = await project.engine.preview();
    expect(more.ok).toBe(false);
    expect(more.stdout + more.stderr).toMatch(/masters: 4 needs 1 hosts that are in no shard yet/);
    project.declare({ nodes: hosts.addresses.slice(0, 7) });
    expect(await refusal(project)).toMatch(/holds 1 keys[\s\S]*nothing is ever flushed/);
    expect(await hosts.call(6, "GET", "somebody's")).toBe("data");
    project.declare({ nodes: six });
    await project.mustUp();
    expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
  });

  onlyInFull(
    "a host back under another address keeps its place by its name, and by its node ID without one",
    async (ctx) => {
      const hosts = await hostsFor(ctx, { count: 6 }, "valkey-8.1");
      await hosts.create(6, 1);
      await hosts.fill(200);
      const named = () => hosts.addresses.map((host, i) => (i === 5 ? host : { ...host, name: `host-${i}` }));
      const project = await existingProject(ctx, { nodes: named() });
      await project.mustUp();
      const shape = async () =>
        (await project.inventory()).shards.map((s) => [s.slots, s.nodes.map((n) => n.id).sort()]);
      const before = await shape();
      for (const index of [4, 5]) {
        await hosts.move(index);
        project.declare({ nodes: named() });
        await project.mustUp();
        expect(await shape()).toEqual(before);
        expect((await project.mustUp()).stdout).toMatch(/3 unchanged/);
      }
      expect((await project.nodes()).map((n) => n.port).sort()).toEqual(hosts.addresses.map((h) => h.port).sort());
      await expectWhole(hosts, 6);
      expect(await hosts.missing(200)).toEqual([]);
    },
  );
});
