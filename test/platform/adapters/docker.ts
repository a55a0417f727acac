import { IMAGE_NAMES } from "../../../infra/toolchain/docker.mjs";
import { dockerClient, dockerHost } from "../../support/docker";
import { DockerProject } from "../../support/dockerProject";
import type { ClusterUnderTest, PlatformUnderTest } from "../platform";

let made = 0;

/** Containers of one daemon. */
export const docker: PlatformUnderTest = {
  name: "docker",
  missing: dockerHost === undefined ? "no Docker here" : undefined,
  argsFor: (server) => ({ image: IMAGE_NAMES[server] }),
  create: async (args) => new DockerCluster(await DockerProject.create(`contract-${++made}`, args)),
};

class DockerCluster implements ClusterUnderTest {
  readonly #project: DockerProject;
  readonly #docker = dockerClient();

  constructor(project: DockerProject) {
    this.#project = project;
  }

  declare(args: object): void {
    this.#project.declare(args);
  }

  up() {
    return this.#project.engine.up();
  }

  preview() {
    return this.#project.engine.preview();
  }

  destroy() {
    return this.#project.engine.destroy();
  }

  outputs() {
    return this.#project.outputs();
  }

  machines(): Promise<Map<string, string>> {
    return this.#project.containers();
  }

  async kill(node: string): Promise<void> {
    await (await this.#container(node)).kill();
  }

  async pause(node: string): Promise<void> {
    await (await this.#container(node)).pause();
  }

  async remove(node: string): Promise<void> {
    await (await this.#container(node)).remove({ force: true });
  }

  async lose(node: string): Promise<void> {
    await this.remove(node);
    await this.#docker.getVolume(`${this.#project.name}-test-${node}`).remove();
  }

  async left() {
    const filters = { label: [`pulumi-redis-cluster.owner=${this.#project.name}/test/dev`] };
    const { Volumes } = await this.#docker.listVolumes({ filters });
    return {
      machines: (await this.machines()).size,
      data: Volumes?.length ?? 0,
      other: (await this.#docker.listNetworks({ filters })).length,
    };
  }

  dispose(): Promise<void> {
    return this.#project.dispose();
  }

  async #container(node: string) {
    const id = (await this.machines()).get(node);
    if (id === undefined) throw new Error(`there is no container of ${node}`);
    return this.#docker.getContainer(id);
  }
}
