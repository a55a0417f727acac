import { describe, expect, test } from "vitest";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";

const servers = await testServers();
const SHAPE = { replicasPerMaster: 0, zones: ["zone-a", "zone-b", "zone-c"] };
const PASSED = "2026-01-31T05:30:00Z";

/** Three runs of `up`: in `npm run test:full` only; migrateLimits.test.ts has the same without Pulumi. */
describe.skipIf(!servers || !process.env.FULL)("`migration` among the arguments", () => {
  test("stopped in time, `up` fails, says what is left and deletes nothing; the next one goes on; alone it changes nothing", async ({
    onTestFinished,
  }) => {
    const server = servers?.["redis-7.0"];
    if (!server) throw new Error("no server");
    const project = await Project.create({ ...SHAPE, masters: 4 }, server);
    onTestFinished(() => project.dispose());
    await project.mustUp();

    const bounds = { migration: { maxKeysPerSecond: 1_000, until: PASSED } };
    project.declare({ ...SHAPE, ...bounds, masters: 4 });
    expect((await project.mustUp()).stdout).toMatch(/Resources:\n {4}\d+ unchanged/);

    project.declare({ ...SHAPE, ...bounds, masters: 3 });
    const preview = await project.engine.preview();
    expect(preview.stdout).toMatch(
      /moves: 4,096 slots with about 0 keys · no more than 1,000 keys a second, so about 1 s at the least · until 2026-01-31T05:30:00Z; what has not moved by then stays where it is/,
    );
    const stopped = await project.up();
    expect(stopped.ok).toBe(false);
    const text = stopped.stdout + stopped.stderr;
    expect(text).toContain(
      'slots stopped moving, as `migration.until` ("2026-01-31T05:30:00Z": 2026-01-31T05:30:00.000Z) asks, and none is open: no slot moved in this run; left are 4,096 slots with about 0 keys',
    );
    expect(text).toMatch(/sessions-3-zone-\w → sessions-\d-zone-\w: 1,36\d slots, about 0 keys/);
    expect(project.servers()).toHaveLength(4);
    const [node] = await project.nodes();
    if (!node) throw new Error("no node");
    expect(await project.ask(node, "CLUSTER", "INFO")).toMatch(/cluster_state:ok[\s\S]*cluster_slots_ok:16384/);

    project.declare({ ...SHAPE, masters: 3 });
    expect((await project.engine.preview()).stdout).toContain("the last run stopped: slots stopped moving");
    await project.mustUp();
    expect(project.servers()).toHaveLength(3);
    expect((await project.inventory()).shards.flatMap((s) => s.slots)).not.toEqual([]);
  });
});
