import { randomBytes } from "node:crypto";
import type Docker from "dockerode";
import { lastLines } from "../../../infra/platforms/docker/runner/container";
import { LABELS } from "../../../infra/platforms/docker/runner/types";
import { IMAGE_NAMES } from "../../../infra/toolchain/docker.mjs";
import { dockerClient, dockerHost, dockerPlatform } from "../../support/docker";
import { OPEN } from "../../support/modes";
import { CLUSTER_NAME, Project, STACK_NAME } from "../../support/project";
import { testServers } from "../../support/servers";
import { type ClusterUnderTest, have, type PlatformUnderTest } from "../platform";

const servers = dockerHost === undefined ? undefined : await testServers();

/** Containers of one daemon. */
export const docker: PlatformUnderTest = {
  name: "docker",
  nodeType: "DockerNode",
  missing: servers ? undefined : "there is no Docker here",
  plugins: ["docker"],
  argsFor: (server) => ({ image: IMAGE_NAMES[server] }),
  async create(args, engine) {
    // Of this run alone, on a daemon that others use too.
    const name = `contract-${process.pid}-${randomBytes(3).toString("hex")}`;
    const platform = dockerPlatform(name);
    return new DockerCluster(
      await Project.create(args, have(servers)["redis-8.0"], { engine, mode: OPEN, platform }),
      `${name}/${STACK_NAME}/${CLUSTER_NAME}`,
    );
  },
};

class DockerCluster implements ClusterUnderTest {
  readonly project: Project;
  readonly #owner: string;
  readonly #docker: Docker = dockerClient();

  constructor(project: Project, owner: string) {
    this.project = project;
    this.#owner = owner;
  }

  async machines(): Promise<Map<string, string>> {
    const inspected = await Promise.all((await this.#containers()).map((container) => container.inspect()));
    return new Map(
      inspected.map(({ Id, Config, State }) => [
        Config.Labels[LABELS.node] ?? "",
        `${Id.slice(0, 12)}, started ${State.StartedAt}`,
      ]),
    );
  }

  async kill(nodes: readonly string[]): Promise<void> {
    await Promise.all(nodes.map(async (node) => (await this.#container(node)).kill()));
  }

  async pause(node: string): Promise<void> {
    await (await this.#container(node)).pause();
  }

  async remove(node: string): Promise<void> {
    await (await this.#container(node)).remove({ force: true });
  }

  async lose(node: string): Promise<void> {
    await this.remove(node);
    for (const volume of await this.#volumes())
      if (volume.Labels[LABELS.node] === node) await this.#docker.getVolume(volume.Name).remove();
  }

  /** The daemon is not ours to end: others have containers in it. Their servers end all at once, and start as it starts them. */
  async reboot(): Promise<void> {
    const containers = await this.#containers();
    await Promise.all(containers.map((container) => container.kill()));
    await Promise.all(containers.map((container) => container.start()));
  }

  async left() {
    return {
      machines: (await this.#containers()).length,
      data: (await this.#volumes()).length,
      other: (await this.#networks()).length,
    };
  }

  async told(): Promise<string> {
    const each = (await this.#containers()).map(async (container) => {
      const { Name, State } = await container.inspect();
      return `${Name}: ${JSON.stringify(State)}\n${await lastLines(container)}`;
    });
    return (await Promise.all(each)).join("\n");
  }

  async visible(): Promise<Map<string, string>> {
    const containers = await this.#containers();
    const parts = await Promise.all([
      ...containers.map((container) => container.inspect()),
      ...containers.map((container) => container.top()),
      ...(await this.#volumes()).map(({ Name }) => this.#docker.getVolume(Name).inspect()),
      ...(await this.#networks()).map((network) => network.inspect()),
    ]);
    return new Map(parts.map((part, i) => [`part ${i} of what the daemon tells`, JSON.stringify(part)]));
  }

  async dispose(): Promise<void> {
    this.project.dispose();
    await Promise.all((await this.#containers()).map((container) => container.remove({ force: true, v: true })));
    for (const { Name } of await this.#volumes()) await this.#docker.getVolume(Name).remove();
    for (const network of await this.#networks()) await network.remove();
  }

  get #filters() {
    return { label: [`${LABELS.owner}=${this.#owner}`] };
  }

  async #containers(): Promise<Docker.Container[]> {
    const listed = await this.#docker.listContainers({ all: true, filters: this.#filters });
    return listed.map(({ Id }) => this.#docker.getContainer(Id));
  }

  async #container(node: string): Promise<Docker.Container> {
    const filters = { label: [...this.#filters.label, `${LABELS.node}=${node}`] };
    const [found, ...more] = await this.#docker.listContainers({ all: true, filters });
    if (!found || more.length > 0) throw new Error(`${node} has ${found ? more.length + 1 : 0} containers`);
    return this.#docker.getContainer(found.Id);
  }

  async #volumes() {
    return (await this.#docker.listVolumes({ filters: this.#filters })).Volumes ?? [];
  }

  async #networks(): Promise<Docker.Network[]> {
    const listed = await this.#docker.listNetworks({ filters: this.#filters });
    return listed.map(({ Id }) => this.#docker.getNetwork(Id));
  }
}
