import { expect, test } from "vitest";
import { onlyInFull } from "../../support/full";
import type { Subject } from "../subject";

/** Every node restarts once, where it is and with what it has. */
export function roll(subject: () => Subject): void {
  test("a setting that takes a restart rolls every node in place: same address, same data, no error", async () => {
    const [places, machines] = [await subject().places(), await subject().cluster.machines()];
    await subject().change("a roll", { redisConfig: { "slowlog-max-len": "77", "tcp-backlog": "256" } });
    expect(await subject().places()).toEqual(places);
    const after = await subject().cluster.machines();
    for (const [node, machine] of machines) expect([node, after.get(node) === machine]).toEqual([node, false]);
    await subject().expectSetting("tcp-backlog", "256");
    await subject().expectSetting("slowlog-max-len", "77");
  });
}

export function scaling(subject: () => Subject): void {
  test("3 → 4 masters → 3: slots and keys move, whoever stays is not touched", async () => {
    const [places, machines] = [await subject().places(), await subject().cluster.machines()];
    await subject().change("3 → 4 masters", { masters: 4 });
    expect(await subject().places()).toMatchObject(places);
    expect(await subject().cluster.left()).toMatchObject({ machines: 8, data: 8 });
    await subject().change("4 → 3 masters", { masters: 3 });
    expect(await subject().places()).toEqual(places);
    expect(await subject().cluster.machines()).toEqual(machines);
    expect(await subject().cluster.left()).toMatchObject({ machines: 6, data: 6 });
  });

  onlyInFull("1 → 2 replicas → 1", async () => {
    const machines = await subject().cluster.machines();
    await subject().change("1 → 2 replicas", { replicasPerMaster: 2 });
    expect((await subject().cluster.left()).machines).toBe(9);
    for (const { nodes } of (await subject().project.inventory()).shards)
      expect(new Set(nodes.map(({ zone }) => zone)).size).toBe(3);
    await subject().change("2 → 1 replicas", { replicasPerMaster: 1 });
    expect(await subject().cluster.machines()).toEqual(machines);
  });
}
