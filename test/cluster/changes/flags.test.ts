import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, type TestContext, test } from "vitest";
import { type EngineName, enginesHere } from "../../engine/workspace";
import type { Ledger } from "../../load/ledger";
import { until } from "../../support/formation";
import { onlyInFull } from "../../support/full";
import { STRICT } from "../../support/modes";
import { CLUSTER_NAME, type Project } from "../../support/project";
import { LoadedProject } from "./support";

type Changes = Parameters<LoadedProject["declare"]>[0];

const KEEP = { dataOnDestroy: "keep" };
const BOOT_CHANGE = { redisConfig: { "tcp-backlog": "256" } };

const machine = (node: string) => `**LocalNode::${node}`;
const guard = (node: string) => `**NodeGuard::${node}-guard`;

/** Every slot is served in the eyes of every server that is left. */
async function expectServed(step: string, project: Project): Promise<void> {
  const left = project.servers().map(({ node }) => project.endpoint(node));
  expect([step, left.length > 0]).toEqual([step, true]);
  await until(`${step}: all slots are served`, async () => {
    const said = await Promise.all(left.map((node) => project.ask(node, "CLUSTER", "INFO").then(String, String)));
    return said.every((info) => /cluster_state:ok[\s\S]*cluster_slots_ok:16384/.test(info));
  });
}

/** What a run left out or took away: no client is told of an error, and a plain `up` makes it whole again. */
async function expectUnharmed(step: string, loaded: LoadedProject, work: () => Promise<unknown>): Promise<void> {
  await loaded.load.during(step, work);
  await expectServed(step, loaded.project);
  expect([step, await loaded.load.audit(), loaded.load.errors]).toEqual([step, [], []]);
  await loaded.change(`${step}; then a plain up`, {});
}

const start = (context: TestContext, engine: EngineName, args: object = {}) =>
  LoadedProject.start(context, "redis-7.0", { ...KEEP, ...args }, { engine });

describe.each(enginesHere())(
  "whatever Pulumi is called with, all slots are served and no key is lost, on %s",
  (engine) => {
    onlyInFull("a roll of which a part is left out", { timeout: 1_800_000 }, async (context) => {
      const loaded = await start(context, engine);
      const { project } = loaded;
      const [first = ""] = (await project.nodes()).map(({ name }) => name);
      const parts = [
        ["--exclude", "**NodeGuard**"],
        ["--exclude", "**ClusterFormation**"],
        ["--target", machine(first)],
        ["--target", guard(first)],
        ["--continue-on-error"],
      ];
      for (const [i, flags] of parts.entries()) {
        loaded.declare({ redisConfig: { "tcp-backlog": String(200 + i) } });
        await expectUnharmed(`up ${flags.join(" ")}`, loaded, () => project.up({ flags }));
      }
      await loaded.expectUnharmed();
    });

    test("a destroy of a part: leaders hand over before they go, and what is left serves", {
      timeout: 1_800_000,
    }, async (context) => {
      const loaded = await start(context, engine);
      const { project } = loaded;
      const { shards } = await project.inventory();
      const leaders = shards.flatMap(({ nodes }) => nodes.filter(({ role }) => role === "master")).map((n) => n.name);
      const all = (await project.nodes()).map(({ name }) => name);
      const oneAtATime = all.map((node) => ["--target", machine(node), "--target", guard(node)]);
      const parts: readonly (readonly string[])[] = [
        // In the order of their chain, leaders are the last to be made: whoever depends on one of them goes with it, and formation too.
        ["--target", machine(leaders[0] ?? ""), "--target-dependents"],
        ["--exclude", machine(leaders[0] ?? "")],
        ["--target", "**ClusterFormation**"],
        ...oneAtATime,
        ["--exclude", "**ClusterFormation**", "--continue-on-error"],
      ];
      for (const flags of process.env.FULL ? parts : parts.slice(0, 2))
        await expectUnharmed(`destroy ${flags.join(" ")}`, loaded, () => project.engine.destroy({ flags }));
      await loaded.expectUnharmed();
    });

    onlyInFull(
      "a change that is killed and taken over by a third one, which is neither of both",
      {
        timeout: 1_800_000,
      },
      async (context) => {
        const loaded = await start(context, engine);
        const { project } = loaded;
        const changes: readonly (readonly [string, Changes, RegExp, Changes])[] = [
          ["3 → 5 masters, then 4", { masters: 5 }, /moved [1-9]/, { masters: 4 }],
          [
            "4 → 3 masters, then 5 with a replica more",
            { masters: 3 },
            /moved [1-9]/,
            { masters: 5, replicasPerMaster: 2 },
          ],
          [
            "a roll, then another one with fewer masters",
            BOOT_CHANGE,
            /LocalNode \S+ created/,
            { masters: 3, redisConfig: { "tcp-backlog": "300" } },
          ],
          [
            "a replica less, then a live setting",
            { replicasPerMaster: 1 },
            /ClusterFormation sessions updating/,
            { replicasPerMaster: 2, redisConfig: { "tcp-backlog": "300", "slowlog-max-len": "77" } },
          ],
        ];
        for (const [step, killed, line, third] of changes) {
          loaded.declare(killed);
          await loaded.load.during(`${step}: killed`, async () => {
            const run = await project.start();
            await run.until(line);
            run.kill("both");
            await run.result;
            await project.workersGone();
          });
          await project.engine.command(["cancel"]);
          await loaded.change(step, third);
        }
        await loaded.expectUnharmed({ killed: true });
      },
    );
  },
);

describe.each(enginesHere())("a cluster that the program does not declare any more, on %s", (engine) => {
  onlyInFull(
    "by another name: an alias is refused before anything is touched, and without one its data stay",
    {
      timeout: 1_800_000,
    },
    async (context) => {
      // What is made once and is not plain must not be made anew.
      const loaded = await start(context, engine, STRICT.args);
      const { project, load } = loaded;
      const [pids, places, credentials] = [await project.pids(), await project.nodes(), await project.credentials()];

      project.rewrite((text) =>
        text.replace(/"sessions", (.*)\);/, '"carts", $1, { aliases: [{ name: "sessions" }] });'),
      );
      for (const run of [await project.engine.preview(), await project.up()]) {
        expect([run.ok, run.stdout]).toEqual([
          false,
          expect.stringContaining(`${CLUSTER_NAME} is declared under the name carts, and a cluster keeps its name`),
        ]);
        expect(run.operations.filter((each) => /^out (?!same|refresh)/.test(each))).toEqual([]);
      }
      expect(await project.pids()).toEqual(pids);
      project.rewrite((text) => text.replace(/"carts", (.*), \{ aliases.*$/m, '"sessions", $1);'));
      const { operations } = await project.mustUp();
      expect(operations.filter((each) => /^pre (?!same|refresh)/.test(each) && !/RedisCluster/.test(each))).toEqual([]);
      expect(await project.credentials()).toEqual(credentials);
      await loaded.expectWhole("under its name again");

      await load.end();
      project.rewrite((text) => text.replace('"sessions"', '"carts"'));
      await project.mustUp();
      expect((await project.inventory()).name).toBe("carts");
      project.rewrite((text) => text.replace('"carts"', '"sessions"'));
      await project.mustUp();
      expect((await project.nodes()).map(({ name }) => name)).toEqual(places.map(({ name }) => name));
      await expectKept(project, load.ledger);
    },
  );

  onlyInFull(
    "removed by mistake: declared again it has its keys; those in memory alone hold it",
    {
      timeout: 1_800_000,
    },
    async (context) => {
      const loaded = await start(context, engine);
      const { project, load } = loaded;
      await until("there are keys", async () => load.operations > 5_000);
      await load.end();
      const program = readFileSync(join(project.directory, "index.js"), "utf8");
      project.rewrite(() => "");
      await project.mustUp();
      expect(project.servers()).toEqual([]);
      project.rewrite(() => program);
      await project.mustUp();
      await expectKept(project, load.ledger);

      loaded.declare({ persistence: { mode: "none" } });
      await project.mustUp();
      for (const removal of ["destroy", "up"] as const) {
        if (removal === "up") project.rewrite(() => "");
        const { ok, stdout } = await (removal === "up" ? project.up() : project.engine.destroy());
        expect([ok, stdout]).toEqual([
          false,
          expect.stringMatching(
            /holds \d+ keys in memory only \(no persistence\)\. It stays\. `dataOnDestroy` is "keep"/,
          ),
        ]);
        expect(project.servers()).toHaveLength(6);
        project.rewrite(() => program);
        await project.mustUp();
        await expectKept(project, load.ledger);
      }
      // Agreed to.
      loaded.declare({ dataOnDestroy: "delete" });
      await project.mustUp();
      expect((await project.engine.destroy()).ok).toBe(true);
      expect(project.servers()).toEqual([]);
    },
  );
});

/** Every key that the load had written, read by a client that knows nothing of before. */
async function expectKept(project: Project, ledger: Ledger): Promise<void> {
  const client = await project.cluster();
  try {
    const keys = ledger.keys.filter((key) => !key.includes(" "));
    expect(keys.length).toBeGreaterThan(1_000);
    const asked = Date.now();
    await Promise.all(keys.map(async (key) => ledger.compare(key, await client.get(key), asked)));
  } finally {
    client.disconnect();
  }
  expect(ledger.wrong).toEqual([]);
}
