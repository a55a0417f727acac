import { afterEach, describe, expect, test } from "vitest";
import { EXECUTOR_PREFIX } from "../../../components/formation/lock";
import { until } from "../../support/formation";
import { isRunning, Project, type Victim } from "../../support/project";
import { testServers } from "../../support/servers";

const servers = await testServers();
const NODES = 6;
const DECLARED_NODE_TIMEOUT = "5000";

/** When to kill: after the n-th line like this was printed. In the order in which a first `up` comes to them. */
const POINTS: [name: string, pattern: RegExp, times: number][] = [
  ["before anything exists", /LocalRedisCluster sessions creating/, 1],
  ["with three data folders made", /LocalVolume \S+ created/, 3],
  ["while the first server starts", /LocalNode \S+ creating/, 1],
  ["with one server running", /LocalNode \S+ created/, 1],
  ["while the fourth server starts", /LocalNode \S+ creating/, 4],
  ["with all servers running", /LocalNode \S+ created/, NODES],
  ["when formation begins", /ClusterFormation sessions creating/, 1],
  ["at the first look", /sessions: met \d/, 1],
  ["with slots assigned", /slots 16384\/16384/, 1],
  ["with nodes met", /met [1-6]\/6/, 1],
  ["with replicas following", /replicas [1-3]\/3/, 1],
  ["with every node ok", /replicas 3\/3 · ok 6\/6/, 1],
  ["once verified, not yet written down", /sessions: verified/, 1],
  ["with formation written down, outputs missing", /ClusterFormation sessions created/, 1],
];
const VICTIMS: Victim[] = ["engine", "provider", "both"];
/** The default run; containers show the engine alone being killed. */
const CHOSEN: [point: string, victim: Victim][] = [
  ["while the fourth server starts", "both"],
  ["with slots assigned", "provider"],
];
const cases = POINTS.flatMap(([name, pattern, times]) =>
  VICTIMS.map((victim) => ({ name, pattern, times, victim })),
).filter(({ name, victim }) => process.env.FULL || CHOSEN.some(([point, who]) => point === name && who === victim));

describe.skipIf(!servers)("killed with SIGKILL", () => {
  const server = servers?.["redis-7.0"];
  let project: Project | undefined;
  afterEach(() => project?.dispose());

  async function newProject(args: object = {}): Promise<Project> {
    if (!server) throw new Error("no server");
    project = await Project.create(args, server);
    return project;
  }

  /** No orphan works on, nobody holds the cluster, the next `up` completes, and the one after it finds nothing to do. */
  async function expectRecovery(project: Project): Promise<void> {
    await project.workersGone();
    for (const { pid } of project.servers()) expect(isRunning(pid)).toBe(true);
    await project.engine.command(["cancel"]);
    const recovered = await project.mustUp();
    expect(recovered.stderr).toBe("");

    const nodes = await project.nodes();
    expect((await project.inventory()).verifiedAt).toMatch(/^\d{4}-\d\d-\d\dT/);
    expect(nodes.map((n) => n.role).sort()).toEqual(["master", "master", "master", "replica", "replica", "replica"]);
    for (const node of nodes) {
      expect(await project.check(node)).toMatchObject({ ok: true });
      await project.withNode(node, async (client) => {
        expect(await client.config("GET", "cluster-node-timeout")).toEqual([
          "cluster-node-timeout",
          DECLARED_NODE_TIMEOUT,
        ]);
        expect(await client.client("LIST")).not.toContain(EXECUTOR_PREFIX);
      });
    }
    // One server a node, and exactly those that are written down: none started twice, none without an owner.
    const written = [...(await project.pids())]
      .map(([node, pid]) => ({ pid, node }))
      .sort((a, b) => (a.node < b.node ? -1 : 1));
    expect(project.servers()).toEqual(written);
    expect((await project.mustUp()).stdout).toContain(project.unchanged());
  }

  test.for(cases)(
    "the $victim, $name: no orphan works on, and the next up completes",
    async ({ pattern, times, victim }) => {
      const project = await newProject();
      const run = await project.start();
      await run.until(pattern, times);
      run.kill(victim);
      const { ok, stdout, stderr } = await run.result;
      if (victim === "provider" && !ok) expect(`${stdout}${stderr}`).toMatch(/error/i);
      await project.workersGone();
      // Whoever formed the cluster is gone from every node, as soon as that has noticed.
      for (const { node } of project.servers()) {
        const names = () => project.ask(project.endpoint(node), "CLIENT", "LIST").catch(() => "");
        await until(`${node} has no executor`, async () => !String(await names()).includes(EXECUTOR_PREFIX));
      }
      await expectRecovery(project);
    },
  );

  test.skipIf(!process.env.FULL)(
    "the engine, while a live setting is given out: the next up gives it to every node",
    async () => {
      const project = await newProject();
      await project.mustUp();
      const pids = await project.pids();
      project.declare({ redisConfig: { "slowlog-max-len": "77" } });
      const run = await project.start();
      await run.until(/ClusterFormation sessions updating/);
      run.kill("engine");
      await run.result;
      await expectRecovery(project);
      expect(await project.pids()).toEqual(pids);
      for (const node of await project.nodes()) {
        expect(await project.ask(node, "CONFIG", "GET", "slowlog-max-len")).toEqual(["slowlog-max-len", "77"]);
      }
    },
  );

  const endings: [string, RegExp, number][] = [
    ["before the first server ends", /ClusterFormation sessions deleted/, 1],
    ["with two servers ended", /LocalNode \S+ deleted/, 2],
    ["among the data folders", /LocalVolume \S+ deleted/, 2],
  ];
  test.for(
    endings
      .filter((_, i) => process.env.FULL || i === 1)
      .flatMap(([name, pattern, times]) =>
        (process.env.FULL ? VICTIMS : (["both"] as const)).map((victim) => ({ name, pattern, times, victim })),
      ),
  )("the $victim, during destroy, $name: the next destroy ends everything", async ({ pattern, times, victim }) => {
    const project = await newProject();
    await project.mustUp();
    const run = await project.start("destroy");
    await run.until(pattern, times);
    run.kill(victim);
    await run.result;
    await project.workersGone();
    await project.engine.command(["cancel"]);
    const again = await project.engine.destroy();
    expect(again, again.stdout).toMatchObject({ ok: true });
    expect(project.servers()).toEqual([]);
    expect((await project.engine.exportStack()).deployment.resources ?? []).toEqual([]);
  });
});
