import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Project } from "../../support/project";
import { freePort, testServers } from "../../support/servers";

/**
 * What a reviewer reads. The golden files are changed only together with the texts, by running these tests with
 * UPDATE_GOLDEN=1, and are then read like code: can somebody who was not there say from the file alone what will change,
 * what clients notice and what the cluster survives?
 */
const RUNS = process.env.FULL ? 20 : 1;
const servers = await testServers();

// Addresses of zones are Linux's.
describe.skipIf(!servers || process.platform !== "linux")(
  "a preview, read by somebody who was not there",
  { timeout: 600_000 },
  () => {
    const server = servers?.["redis-7.0"];
    let project: Project;
    let port: number;

    beforeAll(async () => {
      if (!server) throw new Error("no server");
      // Fixed ports, or a neighbour on this machine who comes or goes would change the text.
      port = await freePort("127.0.1.1");
      project = await Project.create({ port }, server);
    });
    afterAll(() => project?.dispose());

    /** The same bytes every time, and those of the file but for what this machine decides. */
    async function expectGolden(name: string): Promise<string> {
      const texts: string[] = [];
      for (let run = 0; run < RUNS; run++) {
        const preview = await project.engine.preview();
        expect(preview, preview.stderr).toMatchObject({ ok: true });
        texts.push(preview.stdout);
      }
      for (const text of texts.slice(1)) expect(text).toBe(texts[0]);
      const text = normalize(texts[0] ?? "");
      const file = join(__dirname, `${name}.golden.txt`);
      if (process.env.UPDATE_GOLDEN) writeFileSync(file, text);
      expect(existsSync(file), `${file} is missing: UPDATE_GOLDEN=1 writes it`).toBe(true);
      expect(text).toBe(readFileSync(file, "utf8"));
      expect(text).toMatch(/survives(:| the loss of)/);
      expect(text).toContain("clients:");
      expect(text).not.toMatch(/username|password/);
      return text;
    }

    test("of a new cluster", async () => {
      expect(await expectGolden("new")).toContain("credentials: [secret]");
    });

    test("of a live setting: the one resource that sets it, and no node", async () => {
      await project.mustUp();
      project.declare({ port, redisConfig: { "slowlog-max-len": "77" } });
      expect(await expectGolden("live-setting")).not.toMatch(/LocalNode|LocalVolume|NodeGuard|credentials/);
      await project.mustUp();
    });

    // Nothing of these three is carried out: the declaration goes back.
    const live = { "slowlog-max-len": "77" };

    test("of two masters more: what joins, which slots move from where, and what clients notice", async () => {
      project.declare({ port, redisConfig: live, masters: 5 });
      expect(await expectGolden("more-masters")).not.toMatch(/credentials/);
    });

    test("of one replica more a shard", async () => {
      project.declare({ port, redisConfig: live, replicasPerMaster: 2 });
      expect(await expectGolden("more-replicas")).not.toMatch(/credentials/);
    });

    test("of a setting that takes a restart: every node rolls in place, and why", async () => {
      project.declare({ port, redisConfig: { ...live, "tcp-backlog": "600" } });
      expect(await expectGolden("roll")).toMatch(/tcp-backlog .*takes a restart/);
      project.declare({ port, redisConfig: live });
    });

    test("of a zone that holds most masters after a failover", async () => {
      const heir = project.endpoint("sessions-0-zone-b");
      await project.ask(heir, "CLUSTER", "FAILOVER");
      // Until it has begun, everybody agrees as before.
      while (!String(await project.ask(heir, "ROLE")).startsWith("master")) await setTimeout(20);
      await settled(project, 6);
      expect(await expectGolden("crowded-zone")).not.toMatch(/LocalNode|LocalVolume|NodeGuard|credentials/);
      await project.mustUp();
    });

    test("of a leader and another shard's replica that died", async () => {
      const pids = await project.pids();
      for (const name of ["sessions-0-zone-a", "sessions-1-zone-c"]) process.kill(pids.get(name) ?? 0, "SIGKILL");
      await settled(project, 4);
      expect(await expectGolden("dead-servers")).not.toMatch(/LocalVolume|NodeGuard|credentials/);
    });

    test("of a setting that takes a restart, while these two are dead: they are started again before their turn", async () => {
      project.declare({ port, redisConfig: { ...live, "tcp-backlog": "600" } });
      expect(await expectGolden("roll-dead-servers")).not.toMatch(/LocalVolume|credentials/);
      project.declare({ port, redisConfig: live });
    });

    test("of a cluster whose servers all died", async () => {
      await project.whileDown(async () => {
        for (const { pid } of project.servers()) process.kill(pid, "SIGKILL");
        expect(await expectGolden("all-dead")).not.toMatch(/LocalVolume|NodeGuard|credentials/);
        await project.mustUp();
      });
      expect((await project.engine.preview()).stdout).toMatch(/Resources:\n {4}21 unchanged\n$/);
    });
  },
);

/** Only there to end a test that would hang, on a machine that does much else. */
const SETTLES_WITHIN = 300_000;

/** Until the servers that are left have made up their minds: nobody is suspected any more, and all slots are served. */
async function settled(project: Project, left: number): Promise<void> {
  for (const until = Date.now() + SETTLES_WITHIN; Date.now() < until; await setTimeout(100)) {
    const running = project.servers();
    const views = await Promise.all(
      running.map(({ node }) =>
        project
          .withNode(project.endpoint(node), async (client) => {
            const [nodes, info] = [
              String(await client.call("CLUSTER", "NODES")),
              String(await client.call("CLUSTER", "INFO")),
            ];
            const failedLines = nodes.split("\n").filter((line) => /,fail /.test(line));
            // Their slots have found another owner.
            const failed = failedLines.filter((line) => line.split(" ").length === 8).length;
            // Members, roles, masters and slots: after a failover the others hear of it one by one.
            const picture = nodes
              .split("\n")
              .map((line) => line.replace("myself,", "").split(" "))
              .map(([id, , flags, master, , , , , ...slots]) => [id, flags, master, ...slots].join(" "));
            const calm = !/fail\?|handshake/.test(nodes) && failed === 6 - left && /cluster_state:ok/.test(info);
            return { calm, picture: picture.sort().join("\n") };
          })
          .catch(() => ({ calm: false, picture: "" })),
      ),
    );
    if (running.length === left && views.every((v) => v.calm && v.picture === views[0]?.picture)) return;
  }
  throw new Error(`the cluster did not settle within ${SETTLES_WITHIN} ms`);
}

/** Ports, IDs, times and versions are this machine's; columns are as wide as the ports. */
function normalize(text: string): string {
  return text
    .replace(/(127\.0\.\d+\.1):\d+/g, "$1:<port>")
    .replace(/"(port|busPort)":\d+/g, '"$1":"<$1>"')
    .replace(/\b[0-9a-f]{40}\b/g, "<id>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(
      /(redis|"version":") ?7\.0\.\d+/g,
      (_, before: string) => `${before}${before === "redis" ? " " : ""}<version>`,
    )
    .replace(/(shard.*\S) {2,}(?=\S)/g, (row) => row.replace(/ {2,}/g, "  "));
}
