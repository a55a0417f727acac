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
      `setting: min-replicas-max-lag of ${leader.name} is "77", declared "10"`,
    ]);
    await subject().mended(async () => {});
    expect(await subject().issues()).toEqual([]);
    await subject().expectSetting("min-replicas-max-lag", "10");
  });
}

/** What no flag of Pulumi's gets by, nor a program that names it anew. */
export function guards(subject: () => Subject): void {
  test("another name, by an alias, is refused before anything is touched", async () => {
    const { project, cluster } = subject();
    const machines = await cluster.machines();
    project.rewrite((text) =>
      text.replace(/"sessions", (.*)\);/, '"carts", $1, { aliases: [{ name: "sessions" }] });'),
    );
    const refused = await subject().unharmed("another name", () => subject().up());
    expect([refused.ok, refused.stdout]).toEqual([
      false,
      expect.stringContaining("sessions is declared under the name carts, and a cluster keeps its name"),
    ]);
    expect(refused.operations.filter((each) => /^out (?!same|refresh)/.test(each))).toEqual([]);
    project.rewrite((text) => text.replace(/"carts", (.*), \{ aliases.*$/m, '"sessions", $1);'));
    await subject().change("its own name again", {});
    expect(await cluster.machines()).toEqual(machines);
    expect(await cluster.left()).toMatchObject({ machines: 6, data: 6 });
  });

  test("a leader without a replica in sync is not restarted, and not taken away", async () => {
    const { project, cluster } = subject();
    await subject().change("as scenarios before leave it", {
      redisConfig: { "tcp-backlog": "256", "slowlog-max-len": "77" },
    });
    const [leader, replica] = [await subject().aNode("master", 0), await subject().aNode("replica", 0)];
    const other = await subject().aNode("master", 1);
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
    expect((await subject().aNode("replica", 0)).name).toBe(replica.name);
  });
}
