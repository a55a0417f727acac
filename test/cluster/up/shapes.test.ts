import { describe, expect, test } from "vitest";
import { Project } from "../../support/project";
import { type TestServerName, testServers } from "../../support/servers";

const servers = await testServers();

const NO_REPLICA = "replicasPerMaster: 0: the loss of any one node loses its slots and the data in them; use 1 or more";
const EVEN =
  "masters: 4 is even: a majority is 3, so it bears the loss of 1 master at once, no more than 3 would, and a split in halves stops both; use 3 or 5";
const TWO_ZONES =
  "zones: two: one of them always holds half of the masters or more, and its loss leaves no majority, so nothing fails over; use three";
const ONE_ZONE = 'zones: only one ("zone-a"): its loss takes the whole cluster; use three';

/** Masters, replicas per master, zones, and the warnings that belong to the shape. */
const SHAPES: [masters: number, replicas: number, zones: number, warnings: string[], server: TestServerName][] = [
  [3, 0, 3, [NO_REPLICA], "redis-8.0"],
];
const MORE: typeof SHAPES = [
  [4, 1, 2, [EVEN, TWO_ZONES], "valkey-9.1"],
  [3, 1, 1, [ONE_ZONE], "valkey-8.1"],
  [3, 1, 3, [], "redis-8.0"],
  [5, 1, 3, [], "redis-7.0"],
  [5, 2, 3, [], "valkey-9.1"],
  [9, 1, 3, [], "redis-7.0"],
];

describe.skipIf(!servers)("a declared shape, by `up`", () => {
  test.for(process.env.FULL ? [...SHAPES, ...MORE] : SHAPES)(
    "%i masters with %i replicas each on %i zones: warned about as it deserves, formed, verified, covered from every node",
    async ([masters, replicasPerMaster, zones, warnings, name], { onTestFinished }) => {
      const server = servers?.[name];
      if (!server) throw new Error("no server");
      const args = { masters, replicasPerMaster, zones: ["zone-a", "zone-b", "zone-c"].slice(0, zones) };
      const project = await Project.create(args, server);
      onTestFinished(() => project.dispose());
      const result = await project.mustUp();
      const warned = result.diagnostics.filter((d) => d.severity === "warning").map((d) => d.message.trim());
      // Users are the mode's, not the shape's.
      expect(warned.filter((line) => !line.startsWith("users.")).sort()).toEqual([...warnings].sort());

      const { shards, verifiedAt } = await project.inventory();
      expect(verifiedAt).toMatch(/^\d{4}-/);
      expect(shards.map((s) => s.nodes.map((n) => n.role))).toEqual(
        Array.from({ length: masters }, () => [
          "master",
          ...Array.from({ length: replicasPerMaster }, () => "replica"),
        ]),
      );
      const nodes = shards.flatMap((s) => s.nodes);
      expect(new Set(nodes.map((n) => n.zone)).size).toBe(zones);
      expect(project.servers()).toHaveLength(masters * (replicasPerMaster + 1));
      for (const node of nodes) expect(await project.check(node)).toMatchObject({ ok: true });
      expect((await project.mustUp()).stdout).toContain(project.unchanged(nodes.length));
    },
  );
});
