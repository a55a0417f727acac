import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { withNode } from "../../support/project";
import { testServers } from "../../support/servers";
import { missingKeys, projectWithKeys } from "./support";

const servers = await testServers();

describe.skipIf(!servers)("a roll that finds a leader dead, its replica leading and first in line", () => {
  test("one `up` starts it again as it was, and then rolls every node without losing a key", async (context) => {
    if (!servers) throw new Error("no server");
    const project = await projectWithKeys({ nodeTimeoutMilliseconds: 1_000 }, servers["redis-7.0"]);
    context.onTestFinished(() => project.dispose());
    const [leader, replica] = (await project.inventory()).shards[0]?.nodes ?? [];
    if (!leader || !replica) throw new Error("a shard of two was declared");
    const before = await project.pids();
    process.kill(before.get(leader.name) ?? 0, "SIGKILL");
    while ((await withNode(replica, (client) => client.call("ROLE") as Promise<unknown[]>))[0] !== "master")
      await setTimeout(50);

    project.declare({ nodeTimeoutMilliseconds: 1_000, redisConfig: { "tcp-backlog": "201" } });
    const { stdout } = await project.mustUp();
    expect(stdout).toContain(
      `${leader.name} did not run and was started again; ${replica.name} goes once it is in sync`,
    );
    const after = await project.pids();
    for (const [name, pid] of before) expect([name, after.get(name) === pid]).toEqual([name, false]);
    expect(await missingKeys(project)).toBe(0);
    expect((await project.mustUp()).stdout).toMatch(/21 unchanged/);
  });
});
