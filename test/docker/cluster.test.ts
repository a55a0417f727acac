import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clusterClient } from "../support/clients";
import { dockerClient, dockerHost } from "../support/docker";
import { DockerProject, freePorts, nodesOf } from "../support/dockerProject";
import { until } from "../support/formation";
import { onlyInFull } from "../support/full";

// What only a cluster in Docker has: its containers, volumes and network. What it has in common with other platforms is elsewhere.

const KEYS = 2_000;

async function withClient<T>(project: DockerProject, use: (client: ReturnType<typeof clusterClient>) => Promise<T>) {
  const client = clusterClient(nodesOf((await project.outputs()).inventory), {});
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

const write = (project: DockerProject) =>
  withClient(project, (client) =>
    Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`key:${i}`, `value:${i}`))),
  );

/** Keys that are not there, or have another value. */
const wrong = (project: DockerProject) =>
  withClient(project, async (client) => {
    const values = await Promise.all(Array.from({ length: KEYS }, (_, i) => client.get(`key:${i}`)));
    return values.filter((value, i) => value !== `value:${i}`).length;
  });

/** The one line that tells why a run failed. */
async function refusalOf(project: DockerProject, command: "up" | "preview"): Promise<string> {
  const { ok, stdout, stderr } = await project.engine[command]();
  expect(ok, stdout).toBe(false);
  return (
    `${stdout}\n${stderr}`
      .split("\n")
      .find((line) => /^\s*error: (?!preview failed|update failed)/.test(line))
      ?.trim() ?? `${stdout}\n${stderr}`
  );
}

describe.skipIf(dockerHost === undefined)("containers, volumes and network of a cluster in Docker", () => {
  const docker = dockerClient();
  let project: DockerProject;
  const inspect = async (node: string) => docker.getContainer((await project.containers()).get(node) ?? "").inspect();

  beforeAll(async () => {
    project = await DockerProject.create("parts", { nodeMemory: "256mb" });
    await project.mustUp();
    await write(project);
  });
  afterAll(() => project?.dispose());

  test("a container may do nothing but serve: no capability, no root, a root file system that is read-only, its memory", async () => {
    for (const { name, address } of nodesOf((await project.outputs()).inventory)) {
      const { Config, HostConfig, NetworkSettings } = await inspect(name);
      expect(HostConfig).toMatchObject({
        CapDrop: ["ALL"],
        ReadonlyRootfs: true,
        Privileged: false,
        SecurityOpt: ["no-new-privileges:true"],
        Memory: 256 * 1024 ** 2,
        MemorySwap: 256 * 1024 ** 2,
        Ulimits: [{ Name: "nofile", Soft: 20_000, Hard: 20_000 }],
        RestartPolicy: { Name: "unless-stopped" },
        PortBindings: {},
      });
      expect(Config.User).toBe("999:999");
      expect(Config.Hostname).toBe(name);
      expect(Object.values(NetworkSettings.Networks)).toMatchObject([{ IPAddress: address }]);
    }
  });

  onlyInFull("its health is that of the cluster, as the node itself sees it", async () => {
    const names = nodesOf((await project.outputs()).inventory).map(({ name }) => name);
    const healthOf = async (name: string) => (await inspect(name)).State.Health?.Status;
    await until("all are healthy", async () => (await Promise.all(names.map(healthOf))).every((h) => h === "healthy"));
    // Two leaders of three are a majority that is lost, which the third sees.
    const { shards } = (await project.outputs()).inventory;
    const [first, second, third] = shards.map(({ nodes }) => nodes.map(({ name }) => name));
    const paused = [...(first ?? []), ...(second ?? [])];
    for (const name of paused) await docker.getContainer((await inspect(name)).Id).pause();
    try {
      await until("the rest is unhealthy", async () => (await healthOf(third?.[0] ?? "")) === "unhealthy");
    } finally {
      for (const name of paused) await docker.getContainer((await inspect(name)).Id).unpause();
    }
    await project.mustUp();
    expect(await wrong(project)).toBe(0);
  });

  test("a limit of memory below what a node holds is refused at preview; a higher one replaces nothing", async () => {
    const before = await project.containers();
    project.declare({ nodeMemory: "4mb", maxmemory: "2mb" });
    expect(await refusalOf(project, "preview")).toMatch(/a node is less than they use and need: dev-0-zone-a uses /);
    project.declare({ nodeMemory: "300mb" });
    await project.mustUp();
    expect(await project.containers()).toEqual(before);
    expect((await inspect("dev-0-zone-a")).HostConfig.Memory).toBe(300 * 1024 ** 2);
  });

  test("a container that is left of an interrupted run is taken away, and no other is", async () => {
    const inspected = await inspect("dev-1-zone-c");
    const { id: left } = await docker.createContainer({
      Image: inspected.Image,
      Labels: inspected.Config.Labels,
      name: `${project.name}-left`,
    });
    const { id: foreign } = await docker.createContainer({
      Image: inspected.Image,
      Labels: { ...inspected.Config.Labels, "pulumi-redis-cluster.owner": "other/test/dev" },
      name: `${project.name}-foreign`,
    });
    try {
      // Whatever makes the node's own resource run.
      await docker.getContainer(inspected.Id).kill();
      await project.mustUp();
      await expect(docker.getContainer(left).inspect()).rejects.toMatchObject({ statusCode: 404 });
      expect((await docker.getContainer(foreign).inspect()).Name).toBe(`/${project.name}-foreign`);
      expect((await inspect("dev-1-zone-c")).Id).toBe(inspected.Id);
      expect(await wrong(project)).toBe(0);
    } finally {
      await docker.getContainer(foreign).remove({ force: true });
    }
  });

  test("a state that knows nothing of them takes none of them for its own", async () => {
    const other = await DockerProject.create("parts", {}, project.name);
    try {
      expect(await refusalOf(other, "preview")).toMatch(
        /this stack's state knows of no container, and there are 6 of .*: another checkout has a stack of the same name, or a state was lost/,
      );
    } finally {
      other.forget();
    }
    expect((await project.mustUp()).stdout).toMatch(/Resources:\n +29 unchanged/);
  });
});

describe.skipIf(dockerHost === undefined)("a cluster in Docker that is reached through published ports alone", () => {
  test("comes up, is mended and changed; a port that somebody else has is named", async () => {
    const firstPort = await freePorts(20);
    const project = await DockerProject.create("ports", { publish: { firstPort }, reachThrough: "published" });
    try {
      const taken = await dockerClient().createContainer({
        Image: "redis:8.0",
        Cmd: ["redis-server"],
        ExposedPorts: { "6379/tcp": {} },
        HostConfig: { PortBindings: { "6379/tcp": [{ HostIp: "127.0.0.1", HostPort: String(firstPort + 9) }] } },
      });
      try {
        await taken.start();
        expect(await refusalOf(project, "up")).toMatch(
          /dev-1-zone-c did not start: somebody else has its published port .*; free it, or choose others with `publish: { firstPort }`/,
        );
      } finally {
        await taken.remove({ force: true, v: true });
      }
      await project.mustUp();
      const { inventory } = await project.outputs();
      expect(nodesOf(inventory).map(({ published }) => published)).toContainEqual({
        address: "127.0.0.1",
        port: firstPort + 9,
      });
      for (const id of (await project.containers()).values())
        await dockerClient().getContainer(id).remove({ force: true });
      project.declare({ publish: { firstPort }, reachThrough: "published", redisConfig: { "slowlog-max-len": "99" } });
      await project.mustUp();
      expect((await project.mustUp()).stdout).toMatch(/Resources:\n +29 unchanged/);
    } finally {
      await project.dispose();
    }
  });
});

describe.skipIf(dockerHost === undefined)("what an image has, against what is declared", () => {
  test("another server than its name says ends the run before anything is started with its data", async () => {
    const docker = dockerClient();
    await docker.getImage("redis:7.0").tag({ repo: "mine/redis", tag: "8.0" });
    await docker.getImage("redis:7.0").tag({ repo: "mine/server", tag: "latest" });
    const project = await DockerProject.create("image", { image: "mine/redis:8.0" });
    try {
      expect(await refusalOf(project, "up")).toMatch(
        /redis 8.0 is declared, and the image has redis 7.0.15; set `engine` to what the image has, or `image` to one of redis 8.0/,
      );
      project.declare({ image: "mine/redis:8.0", engine: { name: "redis", version: "7.0" } });
      expect((await project.engine.preview()).stdout).toMatch(
        /redis 7.0 is declared, but "mine\/redis:8.0" has redis 8.0 by its name/,
      );
      project.declare({ image: "mine/server:latest", engine: { name: "redis", version: "7.0" } });
      await project.mustUp();
    } finally {
      await project.dispose();
      for (const name of ["mine/redis:8.0", "mine/server:latest"])
        await docker.getImage(name).remove({ noprune: true });
    }
  });
});

describe.skipIf(dockerHost === undefined)("a leader that comes back with less than its replica holds", () => {
  onlyInFull.each(["none", "rdb"])(
    "persistence %s: Docker leaves it down, and `up` has its replica lead first",
    async (mode) => {
      const project = await DockerProject.create(`less-${mode}`, {
        persistence: { mode },
        nodeTimeoutMilliseconds: 15_000,
      });
      try {
        await project.mustUp();
        await write(project);
        const id = (await project.containers()).get("dev-0-zone-a") ?? "";
        await dockerClient().getContainer(id).kill();
        // Nobody has noticed yet, and until somebody does its replica would copy whatever comes back at that address.
        await project.mustUp();
        expect(await wrong(project)).toBe(0);
      } finally {
        await project.dispose();
      }
    },
  );
});
