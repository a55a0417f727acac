import { Cluster } from "ioredis";
import { afterEach, describe, expect, test } from "vitest";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";

const servers = await testServers();
const KEYS = 300;

describe.skipIf(!servers)("a roll on which machines come back without their data", () => {
  let project: Project | undefined;
  afterEach(() => project?.dispose());

  async function started(args: object): Promise<Project> {
    if (!servers) throw new Error("no server");
    project = await Project.create(args, servers["redis-7.0"]);
    await project.mustUp();
    await withCluster(project, (client) =>
      Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`key:${i}`, `value ${i}`))),
    );
    return project;
  }

  async function missing(project: Project): Promise<number> {
    const values = await withCluster(project, (client) =>
      Promise.all(Array.from({ length: KEYS }, (_, i) => client.get(`key:${i}`))),
    );
    return values.filter((value, i) => value !== `value ${i}`).length;
  }

  test("each takes its shard's data over before the next one goes: another data folder loses no key", async () => {
    const project = await started({});
    project.declare({ directory: ".local/other" });
    const result = await project.mustUp();
    expect(result.stdout).toMatch(/came back without its data/);
    expect(await missing(project)).toBe(0);
    const again = await project.mustUp();
    expect(again.stdout).toMatch(/21 unchanged/);
  });
});

async function withCluster<T>(project: Project, use: (client: Cluster) => Promise<T>): Promise<T> {
  const client = new Cluster(
    (await project.nodes()).map(({ address, port }) => ({ host: address, port })),
    { redisOptions: { disableClientInfo: true } },
  );
  client.on("error", () => {});
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}
