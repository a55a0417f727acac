import { setTimeout } from "node:timers/promises";
import { describe, expect, type TestContext, test } from "vitest";
import type { InventoryNode } from "../../../components/cluster/inventory";
import { onlyInFull } from "../../support/full";
import type { Project } from "../../support/project";
import { type TestServerName, testServers } from "../../support/servers";
import { missingKeys, projectWithKeys } from "./support";

const servers = await testServers();
const QUICK = { nodeTimeoutMilliseconds: 1_000 };
const BOOT_CHANGE = { redisConfig: { "tcp-backlog": "201" } };

/** Servers differ in what their files say of others under TLS. */
const SERVERS: readonly TestServerName[] = ["redis-7.0", "valkey-9.1"];

async function started(context: TestContext, args: object, server: TestServerName = "redis-7.0"): Promise<Project> {
  if (!servers) throw new Error("no server");
  const project = await projectWithKeys(args, servers[server]);
  context.onTestFinished(() => project.dispose());
  return project;
}

async function kill(project: Project, nodes: readonly (InventoryNode | undefined)[]): Promise<void> {
  const pids = await project.pids();
  for (const node of nodes) process.kill(pids.get(node?.name ?? "") ?? 0, "SIGKILL");
}

/** Every process is another one, every key is there, and the next run has nothing to do. */
async function expectRolled(project: Project, before: ReadonlyMap<string, number>): Promise<void> {
  const after = await project.pids();
  for (const [name, pid] of before) expect([name, after.get(name) === pid]).toEqual([name, false]);
  expect(await missingKeys(project)).toBe(0);
  expect((await project.mustUp()).stdout).toContain(project.unchanged());
}

describe.skipIf(!servers)("a roll that finds nodes dead starts them again as they were, before their turn", () => {
  test("a leader, whose replica leads and is first in line; by a provider process that did not see the refresh", async (context) => {
    const project = await started(context, QUICK);
    const [leader, replica] = (await project.inventory()).shards[0]?.nodes ?? [];
    if (!leader || !replica) throw new Error("a shard of two was declared");
    const before = await project.pids();
    await project.whileDown(async () => {
      await kill(project, [leader]);
      while (((await project.ask(replica, "ROLE")) as unknown[])[0] !== "master") await setTimeout(50);

      project.declare({ ...QUICK, ...BOOT_CHANGE });
      // A changed configuration is planned in another provider process than the one that refreshed.
      await project.engine.command(["config", "set", "note", "changed"]);
      const { stdout } = await project.mustUp();
      expect(stdout).toContain(`started again as before, ahead of their turn: ${leader.name}`);
    });
    await expectRolled(project, before);
  });

  onlyInFull("all of them, as after a reboot", async (context) => {
    const project = await started(context, QUICK);
    const before = await project.pids();
    await project.whileDown(async () => {
      await kill(project, await project.nodes());
      project.declare({ ...QUICK, ...BOOT_CHANGE });
      await project.mustUp();
    });
    await expectRolled(project, before);
  });

  const CHANGES: readonly (readonly [string, object])[] = [
    ["and a setting that takes a restart has changed", BOOT_CHANGE],
    ["and nothing has changed", {}],
  ];
  const cases = SERVERS.flatMap((server) => CHANGES.map(([what, change]) => ({ server, what, change })));
  test.for(process.env.FULL ? cases : cases.slice(0, 1))(
    "leaders of $server without data on disk, too many to elect others, $what: their replicas take over before they come back empty",
    async ({ server, change }, context) => {
      const args = { ...QUICK, persistence: { mode: "none" } };
      const project = await started(context, args, server);
      const before = await project.pids();
      const { shards } = await project.inventory();
      await project.whileDown(async () => {
        await kill(
          project,
          shards.slice(0, 2).map(({ nodes }) => nodes.find(({ role }) => role === "master")),
        );
        project.declare({ ...args, ...change });
        const { stdout } = await project.mustUp();
        expect(stdout).toMatch(/no majority to elect a leader: it takes its shard over by itself/);
      });
      if (change === BOOT_CHANGE) await expectRolled(project, before);
      expect(await missingKeys(project)).toBe(0);
    },
  );

  const DEAD = [
    ["too many to elect others", 2, 1_000],
    ["before others notice", 1, 15_000],
  ] as const;
  onlyInFull.for(SERVERS.flatMap((server) => DEAD.map(([when, dead, timeout]) => ({ server, when, dead, timeout }))))(
    "leaders of $server with a dump that is older than what their replicas hold, $when: nothing that was written since is lost",
    async ({ server, dead, timeout }, context) => {
      const args = { nodeTimeoutMilliseconds: timeout, persistence: { mode: "rdb" } };
      const project = await started(context, args, server);
      const { shards } = await project.inventory();
      const leadersOf = (all: typeof shards) =>
        all.slice(0, dead).flatMap(({ nodes }) => nodes.filter(({ role }) => role === "master"));
      const leaders = leadersOf(shards);
      const written: string[] = [];
      for (const leader of leaders)
        await project.withNode(leader, async (client) => {
          await client.call("SAVE");
          for (let i = 0; i < 300; i++) {
            const key = `later:${i}`;
            // Keys of other shards are refused here.
            if ((await client.set(key, "value").catch(() => "")) === "OK") written.push(key);
          }
          expect(await client.call("WAIT", "1", "5000")).toBe(1);
        });
      await project.whileDown(async () => {
        await kill(project, leaders);
        await project.mustUp();
      });
      const found: string[] = [];
      for (const leader of leadersOf((await project.inventory()).shards))
        await project.withNode(leader, async (client) => {
          for (const key of written) if ((await client.get(key).catch(() => "")) === "value") found.push(key);
        });
      expect([found.sort(), await missingKeys(project)]).toEqual([written.sort(), 0]);
    },
  );
});
