import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InventoryNode } from "../../../components/cluster/inventory";
import { until } from "../../support/formation";
import { Project, withNode } from "../../support/project";
import { startServer, testServers } from "../../support/servers";

const servers = await testServers();
const FORMATION = "ClusterFormation sessions";

/** Differences that somebody makes by hand, each seen by `refresh`, mended by `up`, and quiet from then on. */
describe.skipIf(!servers)("drift", { timeout: 300_000 }, () => {
  const server = servers?.["redis-7.0"];
  let project: Project;
  beforeAll(async () => {
    if (!server) throw new Error("no server");
    project = await Project.create({ nodeTimeoutMilliseconds: 2000 }, server);
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  const call = (node: InventoryNode | undefined, command: string, ...args: (string | number)[]) =>
    withNode(node ?? { address: "", port: 0 }, (client) => client.call(command, ...args));
  const text = async (node: InventoryNode | undefined, ...command: [string, ...string[]]) =>
    String(await call(node, ...command));

  /** What the state of the stack says differs, after a refresh, and the lines that the refresh printed. */
  async function refresh(): Promise<{ issues: string[]; lines: string[] }> {
    const result = await project.engine.refresh({ flags: ["--diff"] });
    expect(result, result.stdout).toMatchObject({ ok: true });
    const stack = await project.engine.exportStack();
    const formation = (stack.deployment.resources ?? []).find((r) => /ClusterFormation/.test(String(r.type)));
    const issues = (formation?.outputs as { issues?: string[] } | undefined)?.issues ?? [];
    return { issues, lines: result.stdout.split("\n") };
  }

  /** The refresh shows `line` as a change of formation, once: a second one has nothing new to say. */
  async function expectDrift(line: RegExp): Promise<string[]> {
    const first = await refresh();
    expect(first.issues).toContainEqual(expect.stringMatching(line));
    const shown = first.lines.join("\n");
    expect(shown).toContain(`${FORMATION} updated [diff: `);
    expect(shown).toMatch(/~ issues: /);
    const second = await refresh();
    expect(second.issues).toEqual(first.issues);
    // It is still to be mended, hence an update to come, and there is no news of it.
    expect(second.lines.join("\n")).not.toContain(`${FORMATION} updated [diff: `);
    return first.issues;
  }

  async function expectMended(): Promise<void> {
    await project.mustUp();
    await expectQuiet();
  }

  async function expectQuiet(): Promise<void> {
    const { issues, lines } = await refresh();
    expect(issues).toEqual([]);
    expect(lines.join("\n")).not.toContain(`${FORMATION} updated`);
    expect((await project.mustUp()).stdout).toMatch(/21 unchanged/);
  }

  test("a setting changed by hand", async () => {
    const [first, , third] = await project.nodes();
    for (const node of [first, third]) await call(node, "CONFIG", "SET", "min-replicas-max-lag", 77);
    expect(await expectDrift(/^setting: /)).toEqual([
      `setting: ${first?.name}, ${third?.name} have min-replicas-max-lag "77", declared "10"`,
    ]);
    await expectMended();
    for (const node of await project.nodes())
      expect(await call(node, "CONFIG", "GET", "min-replicas-max-lag")).toEqual(["min-replicas-max-lag", "10"]);
  });

  test("slots moved by hand come back to the shard that they were taken from", async () => {
    const before = (await project.inventory()).shards.map((s) => s.slots);
    const masters = (await project.nodes()).filter((n) => n.role === "master");
    const [from, to] = masters;
    for (const slot of [100, 101])
      for (const [node, ...state] of [
        [to, "IMPORTING", from?.id],
        [from, "MIGRATING", to?.id],
        [to, "NODE", to?.id],
        [from, "NODE", to?.id],
        ...masters.slice(2).map((m) => [m, "NODE", to?.id] as const),
      ] as const)
        await call(node, "CLUSTER", "SETSLOT", slot, ...state.map(String));
    await until("everybody knows the new owner", async () =>
      (await Promise.all((await project.nodes()).map((n) => text(n, "CLUSTER", "NODES")))).every((view) =>
        view.split("\n").some((l) => l.startsWith(to?.id ?? "?") && / 100-101 /.test(`${l} `)),
      ),
    );
    expect(await expectDrift(/^slots: /)).toEqual([
      "slots: 2 slots are not where an even spread over 3 shards has them",
    ]);
    expect((await project.inventory()).shards.map((s) => s.slots)).toEqual(before);
    await expectMended();
    expect((await project.inventory()).shards.map((s) => s.slots)).toEqual(before);
  });

  test("an open slot", async () => {
    const [from, to] = (await project.nodes()).filter((n) => n.role === "master");
    await call(from, "CLUSTER", "SETSLOT", 7, "MIGRATING", to?.id ?? "");
    expect(await expectDrift(/^slots: /)).toEqual([
      `slots: slot 7 of ${from?.name} is migrating (other end ${to?.id.slice(0, 8)}…)`,
    ]);
    await expectMended();
  });

  test("leaders that crowd a zone after a failover by hand", async () => {
    const nodes = await project.nodes();
    // In the zone of the first shard's leader there is one replica, of another shard.
    const zone = nodes.find((n) => n.role === "master")?.zone;
    const heir = nodes.find((n) => n.role === "replica" && n.zone === zone);
    await call(heir, "CLUSTER", "FAILOVER");
    await until("it leads, and everybody knows", async () => {
      const views = await Promise.all(nodes.map((n) => text(n, "CLUSTER", "NODES")));
      const known = views.every((v) =>
        v.split("\n").some((l) => l.startsWith(heir?.id ?? "?") && /master/.test(l) && /connected \d/.test(l)),
      );
      const linked = await Promise.all(nodes.map((n) => text(n, "INFO", "replication")));
      return known && !linked.some((i) => /master_link_status:down/.test(i));
    });
    expect(await expectDrift(/^role: /)).toEqual([
      `role: zone ${zone} holds 2 of 3 masters; its loss would leave no majority`,
    ]);
    await expectMended();
  });

  test("a failover that crowds no zone changes roles in the state, and is no difference to mend", async () => {
    const stack = JSON.stringify((await project.engine.exportStack()).deployment.resources);
    // Each shard's replica is in the zone of another shard's leader, so both have to change sides to keep the rule.
    const nodes = await project.nodes();
    for (const replica of nodes.filter((n) => n.role === "replica")) {
      await call(replica, "CLUSTER", "FAILOVER");
      await until("it leads", async () => /role:master/.test(await text(replica, "INFO", "replication")));
    }
    await until("all agree", async () => {
      const views = await Promise.all(nodes.map((n) => text(n, "CLUSTER", "NODES")));
      const owners = views.map((v) =>
        v
          .split("\n")
          .map((l) => l.split(" "))
          .map(([id, , , of, , , , , ...slots]) => `${id} ${of} ${slots}`)
          .sort()
          .join(),
      );
      const linked = await Promise.all(nodes.map((n) => text(n, "INFO", "replication")));
      return new Set(owners).size === 1 && !linked.some((i) => /master_link_status:down/.test(i));
    });
    const { issues, lines } = await refresh();
    expect(issues).toEqual([]);
    expect(lines.join("\n")).toMatch(/ClusterFormation sessions updated \[diff: ~shards\]/);
    expect(JSON.stringify((await project.engine.exportStack()).deployment.resources)).not.toBe(stack);
    await expectQuiet();
  });

  test("a foreign node; up refuses it, and it is quiet once the node was taken out", async () => {
    if (!server) throw new Error("no server");
    const conf = "cluster-enabled yes\ncluster-announce-ip 127.0.9.1\n";
    const foreign = await startServer({ server, conf, address: "127.0.9.1" });
    const nodes = await project.nodes();
    const [first] = nodes;
    try {
      const id = await withNode(foreign, async (client) => {
        await client.call("CLUSTER", "MEET", first?.address ?? "", first?.port ?? 0, first?.busPort ?? 0);
        return String(await client.call("CLUSTER", "MYID"));
      });
      await until("it is known", async () => (await text(first, "CLUSTER", "NODES")).includes(`${id} 127`));
      expect(await expectDrift(/^member: /)).toEqual([
        `member: foreign node ${id} at 127.0.9.1:${foreign.port} is in the cluster`,
      ]);
      const result = await project.up();
      expect(result.ok).toBe(false);
      expect(result.stdout).toMatch(new RegExp(`nothing was changed, because\\s+.*know.* node ${id} at`));
      await foreign.stop();
      await until("nobody is told of it again", async () => {
        await Promise.all(nodes.map((n) => call(n, "CLUSTER", "FORGET", id).catch(() => undefined)));
        return !(await Promise.all(nodes.map((n) => text(n, "CLUSTER", "NODES")))).some((v) => v.includes(id));
      });
    } finally {
      await foreign.stop();
    }
    // The refused run is finished by the next one.
    await expectMended();
  });

  test("a killed node: named at once, one line whatever the others have noticed", async () => {
    const replica = (await project.nodes()).find((n) => n.role === "replica");
    const pid = (await project.pids()).get(replica?.name ?? "") ?? 0;
    process.kill(pid, "SIGKILL");
    expect(await expectDrift(/^node: /)).toEqual([
      `node: ${replica?.name} at ${replica?.address}:${replica?.port} does not answer: connection refused (no server listens there)`,
    ]);
    await expectMended();
  });
});
