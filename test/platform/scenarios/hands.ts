import { expect, test } from "vitest";
import type { Subject } from "../subject";

/** What somebody changes by hand: seen by `refresh`, mended by `up`, quiet from then on. */
export function drift(subject: () => Subject): void {
  test("a setting changed by hand and a dead node: refresh names both, up mends them", async () => {
    const [leader, replica] = [await subject().aNode("master"), await subject().aNode("replica")];
    await subject().project.ask(leader, "CONFIG", "SET", "min-replicas-max-lag", 77);
    await subject().cluster.kill([replica.name]);
    expect(await subject().issues()).toEqual([
      expect.stringContaining(`node: ${replica.name} at ${replica.address}:${replica.port} does not answer`),
      `setting: ${leader.name} has min-replicas-max-lag "77", declared "10"`,
    ]);
    await subject().mended(async () => {});
    expect(await subject().issues()).toEqual([]);
    await subject().expectSetting("min-replicas-max-lag", "10");
  });
}

/** What no flag of Pulumi's gets by. */
export function guards(subject: () => Subject): void {
  test("a leader without a replica in sync is not restarted, and not taken away", async () => {
    const { project, cluster } = subject();
    const { shards } = await project.inventory();
    const roleIn = (shard: number, role: string) => shards[shard]?.nodes.find((node) => node.role === role);
    const [leader, replica, other] = [roleIn(0, "master"), roleIn(0, "replica"), roleIn(1, "master")];
    if (!leader || !replica || !other) throw new Error("there are no two shards with replicas");
    // By somebody's hand its only replica follows another one.
    await project.ask(replica, "CLUSTER", "REPLICATE", other.id);
    await subject().linked(replica);
    const machines = await cluster.machines();
    const alone = ["--target", `**::${leader.name}`, "--target", `**::${leader.name}-guard`];
    subject().declare({ redisConfig: { "tcp-backlog": "260" } });
    const refused = await subject().unharmed("refused", () => subject().up(alone));
    expect([refused.ok, refused.stdout]).toEqual([
      false,
      expect.stringMatching(
        new RegExp(`${leader.name} owns \\d+ slots and has no replica in sync to take them.*it stays`),
      ),
    ]);
    expect(await cluster.machines()).toEqual(machines);
    const gone = await project.engine.destroy({ flags: alone });
    expect(gone.ok).toBe(false);
    expect(await cluster.machines()).toEqual(machines);
    await subject().change("taken back", { redisConfig: { "tcp-backlog": "256", "slowlog-max-len": "77" } });
    expect((await project.nodes()).filter(({ role }) => role === "replica").map(({ name }) => name)).toContain(
      replica.name,
    );
  });
}
