import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { countSlots } from "../../../components/formation/slots";
import type { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import { missingKeys, projectWithKeys } from "../roll/support";

const servers = await testServers();
/** Slow enough to be interrupted with some slots moved and some not. */
const FOUR_MASTERS = { masters: 4, migration: { maxKeysPerSecond: 20 } };
const COMING = "sessions-3-zone-a";

async function slotsOf(project: Project, node: string): Promise<number> {
  const view = await project.ask(project.endpoint(node), "CLUSTER", "NODES");
  return countSlots(parseClusterNodes(String(view)).find((e) => e.myself)?.slots ?? []);
}

describe.skipIf(!servers)("a preview after a scale-out that was killed while slots moved", () => {
  test("shows what `up` goes on with, or what it takes back: nobody is called foreign", async (context) => {
    if (!servers) throw new Error("no server");
    const project = await projectWithKeys({}, servers["redis-7.0"]);
    context.onTestFinished(() => project.dispose());
    project.declare(FOUR_MASTERS);
    const run = await project.start();
    await run.until(/ClusterFormation sessions updating/);
    while ((await slotsOf(project, COMING)) === 0) await setTimeout(20);
    run.kill("both");
    await run.result;
    await project.workersGone();
    await project.engine.command(["cancel"]);
    const moved = await slotsOf(project, COMING);

    const onwards = (await project.engine.preview()).stdout;
    expect(onwards).toContain("observed now: 8 of 8 nodes answered");
    expect(onwards).toContain(`joined in a run that did not come to its end: ${COMING}, sessions-3-zone-c`);
    expect(onwards).not.toMatch(/refused|not of this cluster|no owner/);
    // Each source's open slots, where the kill left some, and the rest of its share.
    const [shown = ""] = onwards.split("Diagnostics:");
    const planned = [...shown.matchAll(/: move (\d+) slots to (\S+):/g)];
    expect(new Set(planned.map(([, , to]) => to))).toEqual(new Set([COMING]));
    expect(moved + planned.reduce((sum, [, slots]) => sum + Number(slots), 0)).toBe(4096);

    project.declare({});
    // A changed configuration is planned in another provider process than the one that refreshed.
    await project.engine.command(["config", "set", "note", "changed"]);
    const back = (await project.engine.preview()).stdout;
    expect(back).toContain("observed now: 8 of 8 nodes answered");
    expect(back).not.toMatch(/refused|not of this cluster|no owner/);
    for (const node of [COMING, "sessions-3-zone-c"]) {
      expect(back).toContain(`found: ${node} is no longer declared and still a member`);
      expect(back).toContain(`${node}: leave: empty of slots, it is reset`);
      expect(back).toMatch(new RegExp(`all 6 nodes: forget former ID \\S+ of ${node}`));
    }
    expect(back).toMatch(new RegExp(`${COMING}: move \\d+ slots to sessions-`));
    expect(back).toContain("nodes: 8 now, 8 at most on the way, 6 afterwards");
    expect(back).toMatch(/- 6 to delete/);

    const { stdout } = await project.mustUp();
    // Slots that were open when the run was killed may have to be carried to their end first.
    const [, returned = "0"] = /moved (\d+) of \1 slots/.exec(stdout) ?? [];
    expect(Number(returned)).toBeGreaterThanOrEqual(moved);
    expect(await missingKeys(project)).toBe(0);
    expect((await project.engine.preview()).stdout).toContain(project.unchanged());
  });
});
