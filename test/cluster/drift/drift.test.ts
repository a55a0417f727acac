import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InventoryNode } from "../../../components/cluster/inventory";
import { until } from "../../support/formation";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { startServer, testServers } from "../../support/servers";

const servers = await testServers();
const FORMATION = "ClusterFormation sessions";

/** The longer half, in `npm run test:full` only. */

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
    project.ask(node ?? { address: "", port: 0 }, command, ...args);
  const text = async (node: InventoryNode | undefined, ...command: [string, ...string[]]) =>
    String(await call(node, ...command));

  /** What the state of the stack says differs, after a refresh, and what the refresh printed. */
  async function refresh(): Promise<{ issues: string[]; printed: string }> {
    const result = await project.engine.refresh({ flags: ["--diff"] });
    expect(result, result.stdout).toMatchObject({ ok: true });
    const stack = await project.engine.exportStack();
    const formation = (stack.deployment.resources ?? []).find((r) => /ClusterFormation/.test(String(r.type)));
    const issues = (formation?.outputs as { issues?: string[] } | undefined)?.issues ?? [];
    return { issues, printed: result.stdout };
  }

  /** The refresh shows exactly these lines, as a change of formation. */
  async function expectDrift(lines: string[]): Promise<void> {
    const { issues, printed } = await refresh();
    expect(issues).toEqual(lines);
    expect(printed).toMatch(/ClusterFormation sessions updated \[diff: ~issues/);
    expect(printed).toMatch(/~ issues: \[\] => \["/);
  }

  async function expectMended(): Promise<void> {
    await project.mustUp();
    const { issues, printed } = await refresh();
    expect(issues).toEqual([]);
    expect(printed).not.toContain(`${FORMATION} updated`);
  }

  /** Every node names the same members, masters and owners, and every replica is linked. */
  async function agreed(nodes: readonly InventoryNode[]): Promise<void> {
    await until("all agree", async () => {
      const views = await Promise.all(nodes.map((n) => text(n, "CLUSTER", "NODES")));
      const owners = views.map((view) =>
        view
          .split("\n")
          .map((line) => line.split(" "))
          .map(([id, , , of, , , , , ...slots]) => `${id} ${of} ${slots.filter((s) => !s.startsWith("["))}`)
          .sort()
          .join(),
      );
      const linked = await Promise.all(nodes.map((n) => text(n, "INFO", "replication")));
      return new Set(owners).size === 1 && !linked.some((i) => /master_link_status:down/.test(i));
    });
  }

  test("settings, slots and an open slot, changed by hand: each a line; slots go back where they came from", async () => {
    const { shards } = await project.inventory();
    const nodes = shards.flatMap((s) => s.nodes);
    const [from, to, other] = nodes.filter((n) => n.role === "master");
    for (const node of [from, to]) await call(node, "CONFIG", "SET", "min-replicas-max-lag", 77);
    for (const slot of [100, 101]) {
      await call(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", from?.id ?? "");
      await call(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", to?.id ?? "");
      for (const node of [to, from, other]) await call(node, "CLUSTER", "SETSLOT", slot, "NODE", to?.id ?? "");
    }
    await call(from, "CLUSTER", "SETSLOT", 7, "MIGRATING", to?.id ?? "");
    await agreed(nodes);
    await expectDrift([
      "slots: 2 slots are not where an even spread over 3 shards has them",
      `slots: slot 7 of ${from?.name} is migrating (other end ${to?.id.slice(0, 8)}…)`,
      `setting: ${from?.name}, ${to?.name} have min-replicas-max-lag "77", declared "10"`,
    ]);
    // Still to be mended, hence an update to come; there is no news of it.
    expect((await refresh()).printed).not.toContain(`${FORMATION} updated [diff: `);
    await expectMended();
    expect((await project.inventory()).shards.map((s) => s.slots)).toEqual(shards.map((s) => s.slots));
    for (const node of nodes)
      expect(await call(node, "CONFIG", "GET", "min-replicas-max-lag")).toEqual(["min-replicas-max-lag", "10"]);
  });

  onlyInFull("leaders that crowd a zone after a failover by hand", async () => {
    const nodes = await project.nodes();
    // In the zone of the first shard's leader there is one replica, of another shard.
    const zone = nodes.find((n) => n.role === "master")?.zone;
    const heir = nodes.find((n) => n.role === "replica" && n.zone === zone);
    await call(heir, "CLUSTER", "FAILOVER");
    await until("it leads", async () => /role:master/.test(await text(heir, "INFO", "replication")));
    await agreed(nodes);
    const { issues, printed } = await refresh();
    expect(issues).toEqual([
      expect.stringMatching(new RegExp(`^role: zone ${zone} holds 2 of 3 masters \\(shard-., shard-.\\)`)),
    ]);
    expect(printed).toMatch(/ClusterFormation sessions updated \[diff: ~issues,~shards\]/);
    await expectMended();
  });

  onlyInFull("a failover that crowds no zone changes roles in the state, and is nothing to mend", async () => {
    const nodes = await project.nodes();
    for (const replica of nodes.filter((n) => n.role === "replica")) {
      await call(replica, "CLUSTER", "FAILOVER");
      await until("it leads", async () => /role:master/.test(await text(replica, "INFO", "replication")));
    }
    await agreed(nodes);
    const { issues, printed } = await refresh();
    expect(issues).toEqual([]);
    // Nothing is to be mended, so that formation itself stays as it is, with other roles in its outputs.
    expect(printed).not.toMatch(/issues/);
    const stack = await project.engine.exportStack();
    const formation = (stack.deployment.resources ?? []).find((r) => /ClusterFormation/.test(String(r.type)));
    const shards = (formation?.outputs as { shards?: { nodes: InventoryNode[] }[] } | undefined)?.shards ?? [];
    const roles = new Map(shards.flatMap((s) => s.nodes.map((n) => [n.name, n.role])));
    for (const node of nodes) expect(roles.get(node.name)).toBe(node.role === "master" ? "replica" : "master");
    expect((await project.mustUp()).stdout).toContain(project.unchanged());
  });

  onlyInFull("a foreign node; up refuses it, and it is quiet once the node was taken out", async () => {
    if (!server) throw new Error("no server");
    const conf = "cluster-enabled yes\ncluster-announce-ip 127.0.9.1\n";
    const nodes = await project.nodes();
    const foreign = await startServer({
      server,
      conf,
      address: "127.0.9.1",
      ...(await project.likeNode(nodes[0]?.name ?? "")),
    });
    const [first] = nodes;
    try {
      await foreign.ask("CLUSTER", "MEET", first?.address ?? "", first?.port ?? 0, first?.busPort ?? 0);
      const id = String(await foreign.ask("CLUSTER", "MYID"));
      await until("it is known", async () => (await text(first, "CLUSTER", "NODES")).includes(`${id} 127`));
      await expectDrift([`member: foreign node ${id} at 127.0.9.1:${foreign.port} is in the cluster`]);
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

  onlyInFull("a killed node: named at once, one line whatever the others have noticed", async () => {
    const replica = (await project.nodes()).find((n) => n.role === "replica");
    const pid = (await project.pids()).get(replica?.name ?? "") ?? 0;
    process.kill(pid, "SIGKILL");
    await expectDrift([
      `node: ${replica?.name} at ${replica?.address}:${replica?.port} does not answer: connection refused (no server listens there)`,
    ]);
    await expectMended();
    expect((await project.mustUp()).stdout).toContain(project.unchanged());
  });
});
