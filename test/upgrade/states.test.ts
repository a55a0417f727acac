import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Project } from "../support/project";
import { testServers } from "../support/servers";

/**
 * The state that each released version leaves, and what today's code makes of it. `states/<version>/` holds the declaration
 * (`args.json`) and the exported stack (`state.json`), secrets of the test in plain text.
 *
 * Before a release: `RECORD_STATE=1 npx vitest run test/upgrade` writes the folder of the version in package.json. A folder
 * of a released version is never written again: users have that state.
 */
const STATES = join(__dirname, "states");
const CURRENT = JSON.parse(readFileSync(join(__dirname, "../../package.json"), "utf8")).version as string;
/** What differs from machine to machine stands for itself in the recorded text. */
const SERVER_PATH = "/recorded/redis-server";
const SERVER_VERSION = "7.0.0-recorded";
/** One of each: what boots, what is live, a shape that is not the default, ports that no free one is looked for. */
const RECORDED_ARGS = {
  masters: 3,
  replicasPerMaster: 1,
  zones: ["zone-a", "zone-b", "zone-c"],
  port: 20480,
  maxmemory: "64mb",
  maxmemoryPolicy: "allkeys-lru",
  persistence: { mode: "hybrid" },
  redisConfig: { "slowlog-max-len": "256", "tcp-backlog": "128" },
};

const servers = await testServers();

describe.skipIf(!servers)("the state of an earlier version", () => {
  const server = servers?.["redis-7.0"];

  test.runIf(process.env.RECORD_STATE)("is recorded", async ({ onTestFinished }) => {
    if (!server) throw new Error("no server");
    const project = await Project.create(RECORDED_ARGS, server);
    onTestFinished(() => project.dispose());
    await project.mustUp();
    const text = JSON.stringify(await project.engine.exportStack({ showSecrets: true }), null, 2);
    const folder = join(STATES, CURRENT);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "args.json"), `${JSON.stringify(RECORDED_ARGS, null, 2)}\n`);
    const portable = text.replaceAll(server.path, SERVER_PATH).replaceAll(server.version, SERVER_VERSION);
    expect(portable).not.toContain(project.directory);
    writeFileSync(join(folder, "state.json"), `${portable}\n`);
    await project.engine.destroy();
  });

  test("is there for the version that is about to be released", () => {
    expect(existsSync(join(STATES, CURRENT, "state.json"))).toBe(true);
  });

  test.for(readdirSync(STATES))(
    "%s previews without replacing, deleting or adding anything",
    async (version, { onTestFinished }) => {
      if (!server) throw new Error("no server");
      const recorded = join(STATES, version);
      const project = await Project.create(JSON.parse(readFileSync(join(recorded, "args.json"), "utf8")), server);
      onTestFinished(() => project.dispose());
      const state = readFileSync(join(recorded, "state.json"), "utf8");
      const file = join(project.directory, "state.json");
      writeFileSync(file, state.replaceAll(SERVER_PATH, server.path).replaceAll(SERVER_VERSION, server.version));
      const imported = await project.engine.command(["stack", "import", "--stack", "test", "--file", file]);
      expect(imported, imported.stderr).toMatchObject({ ok: true });

      const preview = await project.engine.preview();
      expect(preview, preview.stdout + preview.stderr).toMatchObject({ ok: true });
      // Folders and servers are not on this machine, so making them again is what an update is for here.
      expect(preview.operations.filter((operation) => !/^(pre|out) (same|update|refresh) /.test(operation))).toEqual(
        [],
      );
      expect(preview.stdout).not.toMatch(/ change: |\d change/);
      const resources = (await project.engine.exportStack()).deployment.resources ?? [];
      expect(resources.filter((r) => /LocalNode$/.test(String(r.type)))).toHaveLength(6);
    },
  );
});
