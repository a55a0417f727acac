import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { InventoryNode } from "../../components/cluster/inventory";
import { CheckedLoad } from "../load/load";
import { clusterClient, loginOf, nodeClient } from "../support/clients";
import type { TestServerName } from "../support/servers";
import type { ClusterUnderTest, PlatformUnderTest } from "./platform";

/** Sooner than by default, so that what a test kills is noticed in time. */
const COMMON = { nodeTimeoutMilliseconds: 2_000, dataOnDestroy: "delete" };
const SLOTS = 16_384;

/**
 * What every platform promises, shown on real servers under a load that remembers what it wrote. A platform adds an adapter, and no test.
 * @param server the one that nodes run
 */
export function contractOf(platform: PlatformUnderTest, server: TestServerName): void {
  const args = { ...COMMON, ...platform.argsFor(server) };

  describe.skipIf(platform.missing !== undefined)(`${platform.name}, ${server}`, () => {
    let cluster: ClusterUnderTest;
    let load: CheckedLoad | undefined;
    let declared: object = args;

    const nodes = async (): Promise<InventoryNode[]> =>
      (await cluster.outputs()).inventory.shards.flatMap((shard) => shard.nodes);
    const places = async () => new Map((await nodes()).map(({ name, address, port }) => [name, `${address}:${port}`]));
    const keys = (): CheckedLoad => {
      if (!load) throw new Error("there is no load");
      return load;
    };
    const mustUp = async (): Promise<string> => {
      const { ok, stdout, stderr } = await cluster.up();
      expect(ok, `${stdout}\n${stderr}`).toBe(true);
      await expectWhole();
      return stdout;
    };
    /** Full coverage by the word of every node, the same everywhere. */
    const expectWhole = async () => {
      const { inventory, credentials } = await cluster.outputs();
      const login = loginOf(credentials);
      const all = inventory.shards.flatMap((shard) => shard.nodes);
      for (const node of all) {
        const client = nodeClient(node, login);
        try {
          const ranges = (await client.cluster("SLOTS")) as [number, number, ...unknown[]][];
          const served = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
          const info = String(await client.cluster("INFO"));
          expect([
            node.name,
            served,
            /cluster_state:ok/.test(info),
            /cluster_known_nodes:(\d+)/.exec(info)?.[1],
          ]).toEqual([node.name, SLOTS, true, String(all.length)]);
        } finally {
          client.disconnect();
        }
      }
    };
    /** A planned change: nobody is told of an error, and every key is as it was written. */
    const change = async (step: string, changes: object): Promise<string> => {
      declared = { ...declared, ...changes };
      cluster.declare(declared);
      const errors = keys().errors.length;
      const printed = await keys().during(step, mustUp);
      expect([step, await keys().audit(), keys().errors.slice(errors)]).toEqual([step, [], []]);
      return printed;
    };
    /** A fault that `up` mends; what clients were told meanwhile is theirs to know. @returns what it printed */
    const mended = async (fault: () => Promise<void>): Promise<string> => {
      const before = await places();
      const since = Date.now();
      await fault();
      const printed = await mustUp();
      // Writes that a leader took with it before its replica had them, and those that waited for it.
      keys().allowLoss({ from: since, to: Date.now() });
      expect(await places()).toEqual(before);
      expect((await cluster.machines()).size).toBe(before.size);
      expect(await keys().audit()).toEqual([]);
      return printed;
    };
    const KEPT = 500;
    const ofKept = async <T>(
      use: (client: ReturnType<typeof clusterClient>, key: string) => Promise<T>,
    ): Promise<T[]> => {
      const { inventory, credentials } = await cluster.outputs();
      const all = inventory.shards.flatMap((shard) => shard.nodes);
      const client = clusterClient(all, loginOf(credentials));
      try {
        return await Promise.all(Array.from({ length: KEPT }, (_, i) => use(client, `kept:${i}`)));
      } finally {
        client.disconnect();
      }
    };
    const aNode = async (role: "master" | "replica") => {
      const found = (await nodes()).find((node) => node.role === role);
      if (!found) throw new Error(`there is no ${role}`);
      return found.name;
    };

    beforeAll(async () => {
      cluster = await platform.create(args);
      await mustUp();
      load = await CheckedLoad.start(await nodes(), { login: loginOf((await cluster.outputs()).credentials) });
    });
    afterAll(async () => {
      load?.close();
      await cluster?.dispose();
    });

    test("says what it is: six nodes in three zones, and one machine for each", async () => {
      const { inventory } = await cluster.outputs();
      expect(inventory).toMatchObject({ platform: platform.name, version: 1 });
      expect(inventory.zones).toHaveLength(3);
      for (const shard of inventory.shards) expect(new Set(shard.nodes.map(({ zone }) => zone)).size).toBe(2);
      expect([...(await cluster.machines()).keys()].sort()).toEqual((await nodes()).map(({ name }) => name).sort());
    });

    test("has nothing to do when nothing changed, and previews say the same again", async () => {
      const machines = await cluster.machines();
      const unchanged = /Resources:\n +\d+ unchanged\n/;
      const [first, second] = [await cluster.preview(), await cluster.preview()];
      const text = ({ stdout }: { stdout: string }) => stdout.replace(/Duration: .*/, "");
      expect(text(first)).toMatch(unchanged);
      expect(text(second)).toBe(text(first));
      expect(await mustUp()).toMatch(unchanged);
      expect(await cluster.machines()).toEqual(machines);
    });

    test("a setting that can be set on running servers replaces no machine", async () => {
      const machines = await cluster.machines();
      await change("a live setting", { maxmemory: "50mb", redisConfig: { "slowlog-max-len": "77" } });
      expect(await cluster.machines()).toEqual(machines);
      const login = loginOf((await cluster.outputs()).credentials);
      for (const node of await nodes()) {
        const client = nodeClient(node, login);
        expect(await client.config("GET", "slowlog-max-len")).toEqual(["slowlog-max-len", "77"]);
        client.disconnect();
      }
    });

    test("a setting that takes a restart rolls every node in place: same address, same data, no error", async () => {
      const before = await places();
      await change("a roll", { redisConfig: { "slowlog-max-len": "77", "tcp-backlog": "256" } });
      expect(await places()).toEqual(before);
      const login = loginOf((await cluster.outputs()).credentials);
      for (const node of await nodes()) {
        const client = nodeClient(node, login);
        expect(await client.config("GET", "tcp-backlog")).toEqual(["tcp-backlog", "256"]);
        client.disconnect();
      }
    });

    test("scales out and in again", async () => {
      const before = await places();
      await change("3 → 4 masters", { masters: 4 });
      expect(await nodes()).toHaveLength(8);
      await change("4 → 3 masters", { masters: 3 });
      expect(await places()).toEqual(before);
      expect((await cluster.left()).machines).toBe(6);
    });

    test("a killed leader is started again", async () => {
      await mended(async () => cluster.kill(await aNode("master")));
    });

    test("a killed replica is started again", async () => {
      await mended(async () => cluster.kill(await aNode("replica")));
    });

    test("a machine that stands still goes on", async (context) => {
      if (!cluster.pause) return context.skip("this platform cannot tell");
      await mended(async () => cluster.pause?.(await aNode("master")));
    });

    test("a machine that is gone is made again, at its address and with its data", async (context) => {
      if (!cluster.remove) return context.skip("machine and data are one here");
      await mended(async () => cluster.remove?.(await aNode("master")));
    });

    test("a machine that is gone with its data gets them from its shard", async () => {
      const victim = await aNode("master");
      // Nobody but its replica has them, which has to have been elected.
      await mended(async () => cluster.lose(victim));
    });

    test("all machines dead at once come back with their data", async () => {
      await mended(async () => {
        await Promise.all((await nodes()).map(({ name }) => cluster.kill(name)));
      });
    });

    test("destroyed it leaves nothing, or its data where they are to stay, and they are there again afterwards", async () => {
      declared = { ...declared, dataOnDestroy: "keep" };
      cluster.declare(declared);
      await mustUp();
      const { wrong } = await keys().end();
      expect(wrong).toEqual([]);
      await ofKept((client, key) => client.set(key, `of ${key}`));
      expect((await cluster.destroy()).ok).toBe(true);
      expect(await cluster.left()).toEqual({ machines: 0, data: 6, other: 0 });
      await mustUp();
      expect(await ofKept((client, key) => client.get(key))).toEqual(
        Array.from({ length: KEPT }, (_, i) => `of kept:${i}`),
      );
      declared = { ...declared, dataOnDestroy: "delete" };
      cluster.declare(declared);
      await mustUp();
      expect((await cluster.destroy()).ok).toBe(true);
      expect(await cluster.left()).toEqual({ machines: 0, data: 0, other: 0 });
    });
  });
}
