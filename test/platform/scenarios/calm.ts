import { expect, test } from "vitest";
import { type Subject, UNCHANGED } from "../subject";

/** A cluster that was just made, and what changes it without a restart. */
export function calm(subject: () => Subject): void {
  test("says what it is: shards of two zones each, a machine for each node, and who survives what", async () => {
    const { cluster, project, platform } = subject();
    const inventory = await project.inventory();
    expect(inventory).toMatchObject({ platform: platform.name, name: "sessions", version: 1 });
    expect(inventory.zones).toHaveLength(3);
    expect(inventory.shards).toHaveLength(3);
    const nodes = inventory.shards.flatMap((shard) => shard.nodes);
    for (const shard of inventory.shards) expect(new Set(shard.nodes.map(({ zone }) => zone)).size).toBe(2);
    for (const { name, zone } of nodes) expect([name, name.endsWith(`-${zone}`)]).toEqual([name, true]);
    const leading = nodes.filter(({ role }) => role === "master").map(({ zone }) => zone);
    expect(leading.sort()).toEqual([...inventory.zones].sort());
    expect(await cluster.left()).toMatchObject({ machines: 6, data: 6 });
  });

  test("has nothing to do where nothing changed, and a preview says so", async () => {
    const machines = await subject().cluster.machines();
    const preview = await subject().preview();
    expect(preview.stdout).toMatch(UNCHANGED);
    const { stdout, operations } = await subject().up();
    expect(stdout).toMatch(UNCHANGED);
    expect(operations.filter((operation) => /^pre (?!same|refresh)/.test(operation))).toEqual([]);
    expect(await subject().cluster.machines()).toEqual(machines);
  });

  test("a setting that can be set on running servers: previews say the same twice, no machine is touched, every node has it", async () => {
    const machines = await subject().cluster.machines();
    subject().declare({ maxmemory: "50mb", redisConfig: { "slowlog-max-len": "77" } });
    const previews = [await subject().preview(), await subject().preview()].map(plain);
    expect(previews[0]).toContain('slowlog-max-len: not declared → "77"');
    expect(previews[1]).toBe(previews[0]);
    await subject().change("a live setting", {});
    expect(await subject().cluster.machines()).toEqual(machines);
    await subject().expectSetting("slowlog-max-len", "77");
    await subject().expectSetting("maxmemory", String(50 * 1024 ** 2));
  });
}

/** What it says in the end, without how long it took: what comes before is progress, in the order in which things happened. */
function plain({ stdout }: { readonly stdout: string }): string {
  return stdout.slice(Math.max(0, stdout.indexOf("Diagnostics:"))).replace(/Duration: .*/, "");
}
