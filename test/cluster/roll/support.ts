import type { Cluster } from "ioredis";
import { Project } from "../../support/project";
import type { ServerProgram } from "../../support/servers";

const KEYS = 300;

/** A user's project whose cluster is formed and holds keys in every shard. */
export async function projectWithKeys(args: object, server: ServerProgram): Promise<Project> {
  const project = await Project.create(args, server);
  try {
    await project.mustUp();
    await withCluster(project, (client) =>
      Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`key:${i}`, `value ${i}`))),
    );
    return project;
  } catch (error) {
    project.dispose();
    throw error;
  }
}

/** How many of those keys are gone or wrong. */
export async function missingKeys(project: Project): Promise<number> {
  const values = await withCluster(project, (client) =>
    Promise.all(Array.from({ length: KEYS }, (_, i) => client.get(`key:${i}`))),
  );
  return values.filter((value, i) => value !== `value ${i}`).length;
}

async function withCluster<T>(project: Project, use: (client: Cluster) => Promise<T>): Promise<T> {
  const client = await project.cluster();
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}
