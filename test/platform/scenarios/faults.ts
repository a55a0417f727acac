import { expect, test } from "vitest";
import { onlyInFull } from "../../support/full";
import { type Subject, UNCHANGED } from "../subject";

/** What happens to machines, and `up` mends. */
export function faults(subject: () => Subject): void {
  // Others here kill servers too, on the way to something else.
  onlyInFull("a killed leader, and a killed replica, are started again", async () => {
    for (const role of ["master", "replica"] as const) {
      const { name } = await subject().aNode(role);
      await subject().mended(() => subject().cluster.kill([name]));
    }
    expect((await subject().up()).stdout).toMatch(UNCHANGED);
  });

  test("a machine that stands still goes on", async (context) => {
    const { cluster } = subject();
    if (!cluster.pause) return context.skip("this platform cannot tell that");
    const { name } = await subject().aNode("master");
    const machine = (await cluster.machines()).get(name);
    await subject().mended(async () => cluster.pause?.(name));
    expect((await cluster.machines()).get(name)).toBe(machine);
  });

  test("a machine that is gone is made again, at its address and with its data", async (context) => {
    const { cluster } = subject();
    if (!cluster.remove) return context.skip("a machine is no more than its server here");
    for (const role of ["master", "replica"] as const) {
      const { name, id } = await subject().aNode(role);
      await subject().mended(async () => cluster.remove?.(name));
      // With its data the server has its identity.
      expect((await subject().project.nodes()).find((node) => node.name === name)?.id).toBe(id);
    }
  });

  test("a machine that is gone with its data gets them from its shard", async () => {
    const { name, id } = await subject().aNode("master");
    await subject().mended(() => subject().cluster.lose(name));
    expect((await subject().project.nodes()).find((node) => node.name === name)?.id).not.toBe(id);
  });

  test("all machines dead at once come back with their data", async () => {
    const names = (await subject().project.nodes()).map(({ name }) => name);
    // While none of them listens, somebody else would take their ports.
    await subject().project.whileDown(async () => {
      await subject().mended(() => subject().cluster.kill(names));
    });
    expect((await subject().up()).stdout).toMatch(UNCHANGED);
  });

  test("a host that fails and comes back has a cluster that serves, before anybody runs anything", async (context) => {
    const { cluster } = subject();
    if (!cluster.reboot) return context.skip("nothing comes back by itself here");
    await subject().mended(async () => {
      await cluster.reboot?.();
      await subject().project.served();
    });
  });
}
