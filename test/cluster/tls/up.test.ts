import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";

const servers = await testServers();
const APP = { keys: ["*"], commands: ["+@read", "+@write"] };

describe.skipIf(!servers)("a cluster that speaks TLS only, with users", () => {
  let project: Project;

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    project = await Project.create({ tls: {}, users: { app: APP } }, servers["redis-7.0"]);
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  test("an ordinary client that trusts its authority, and checks names, uses all of it", async () => {
    const client = await project.cluster();
    try {
      await Promise.all(Array.from({ length: 50 }, (_, n) => client.set(`key:${n}`, n)));
      expect(await client.get("key:7")).toBe("7");
    } finally {
      client.disconnect();
    }
  });

  test("bus and replication are under TLS, and no port is open without it", async () => {
    for (const node of await project.nodes()) {
      const settings = await project.ask(node, "CONFIG", "GET", "tls-*", "port");
      const [list] = [settings as string[]];
      const of = (name: string) => list[list.indexOf(name) + 1];
      expect([of("tls-cluster"), of("tls-replication"), of("tls-auth-clients"), of("port")]).toEqual([
        "yes",
        "yes",
        "yes",
        "0",
      ]);
    }
  });

  test("a second up changes nothing, and sends nothing that changes", async () => {
    const { stdout } = await project.mustUp();
    expect(stdout).toMatch(/unchanged/);
    expect(stdout).not.toMatch(/(updated|created|replaced|deleted)/);
  });
});
