import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { enginesHere } from "../../engine/workspace";
import { isRunning, Project } from "../../support/project";
import { testServers } from "../../support/servers";

const servers = await testServers();

describe.skipIf(!servers).each(enginesHere())(
  "a cluster on one machine, by the program of a new user, on the %s engine",
  (engine) => {
    const server = servers?.["redis-7.0"];
    let project: Project;

    beforeAll(async () => {
      if (!server) throw new Error("no server");
      project = await Project.create({}, server, { engine });
    });
    afterAll(() => project?.dispose());

    test("preview shows shards, zones, addresses, what it survives and the steps, and makes nothing", async () => {
      const preview = await project.engine.preview();
      expect(preview.ok).toBe(true);
      for (const text of [
        "3 masters, 1 replica each, 3 zones",
        "0-5460",
        "127.0.1.1:",
        "survives",
        "assign 16384 slots",
      ])
        expect(preview.stdout).toContain(text);
      expect((await project.engine.exportStack()).deployment?.resources ?? []).toEqual([]);
    });

    test("the first up forms it: redis-cli calls it fully covered from every node", async () => {
      await project.mustUp();
      const inventory = await project.inventory();
      const nodes = inventory.shards.flatMap((s) => s.nodes);
      expect(nodes).toHaveLength(6);
      expect(new Set(nodes.map((n) => n.zone)).size).toBe(3);
      expect(inventory.verifiedAt).toMatch(/^\d{4}-\d\d-\d\dT/);
      for (const node of nodes) expect(await project.check(node)).toMatchObject({ ok: true });
    });

    test("a second up reports no change and sends nothing to any node that changes it", async () => {
      const nodes = (await project.inventory()).shards.flatMap((s) => s.nodes);
      const seen: string[] = [];
      const monitors = await Promise.all(
        nodes.map(async (node) => {
          const monitor = await (await project.connect(node)).monitor();
          monitor.on("monitor", (_time: string, words: string[]) =>
            seen.push(words.slice(0, 2).join(" ").toLowerCase()),
          );
          return monitor;
        }),
      );
      try {
        const result = await project.mustUp();
        expect(result.stdout).toContain(project.unchanged());
        expect(result.operations.filter((o) => /^pre (?!same|refresh)/.test(o))).toEqual([]);
      } finally {
        for (const monitor of monitors) monitor.disconnect();
      }
      const reading = [
        "info",
        "cluster nodes",
        "cluster info",
        "cluster myid",
        "dbsize",
        "config get",
        "client setname",
        "ping",
        "replconf ack",
        "select 0",
        "hello 3",
      ];
      expect(seen.length).toBeGreaterThan(0);
      expect(seen.filter((command) => !reading.some((known) => command.startsWith(known)))).toEqual([]);
    });

    test("a live setting is set on every node without a restart, and survives one", async () => {
      const before = await project.pids();
      project.declare({ redisConfig: { "slowlog-max-len": "77" } });
      const preview = await project.engine.preview();
      expect(preview.stdout).toContain('slowlog-max-len: not declared → "77"');
      const result = await project.mustUp();
      expect(result.stdout).not.toMatch(/LocalNode \S+ (replac|updat)/);
      expect(await project.pids()).toEqual(before);
      for (const node of await project.nodes())
        expect(await project.ask(node, "CONFIG", "GET", "slowlog-max-len")).toEqual(["slowlog-max-len", "77"]);
    });

    test.for(process.env.FULL ? [1, 3, 6] : [1, 6])(
      "%i servers killed: a plain up brings full coverage back, every key is there, zones hold",
      async (count) => {
        const cluster = await project.cluster();
        for (let i = 0; i < 300; i++) await cluster.set(`key:${count}:${i}`, `value ${i}`);
        // Every replica has every write before anything is killed, so that none may be missing.
        await Promise.all(cluster.nodes("master").map((node) => node.wait(1, 10_000)));
        cluster.disconnect();

        const pids = [...(await project.pids()).values()];
        await project.whileDown(async () => {
          for (const pid of pids.slice(0, count)) process.kill(pid, "SIGKILL");
          await project.mustUp();
        });

        const after = await project.inventory();
        const leaders = after.shards.map((s) => s.nodes.find((n) => n.role === "master")?.zone);
        expect(new Set(leaders).size).toBe(3);
        for (const node of after.shards.flatMap((s) => s.nodes))
          expect(await project.check(node)).toMatchObject({ ok: true });
        const again = await project.cluster();
        for (let i = 0; i < 300; i++) expect(await again.get(`key:${count}:${i}`)).toBe(`value ${i}`);
        again.disconnect();
        expect((await project.mustUp()).stdout).toContain(project.unchanged());
      },
    );

    test("destroy ends every server and removes the data, as agreed for this platform", async () => {
      const pids = [...(await project.pids()).values()];
      const result = await project.engine.destroy();
      expect(result.ok).toBe(true);
      for (const pid of pids) expect(isRunning(pid)).toBe(false);
    });
  },
);
