import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { OPEN } from "../../support/modes";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import type { ClusterUnderTest, PlatformUnderTest } from "../platform";

const servers = await testServers();

/** Server processes of this machine. */
export const local: PlatformUnderTest = {
  name: "local",
  missing: servers ? undefined : "no servers here",
  argsFor: (server) => ({ serverBinary: servers?.[server].path }),
  async create(args) {
    if (!servers) throw new Error("no servers here");
    return new LocalCluster(await Project.create(args, servers["redis-7.0"], { mode: OPEN }));
  },
};

class LocalCluster implements ClusterUnderTest {
  readonly #project: Project;

  constructor(project: Project) {
    this.#project = project;
  }

  declare(args: object): void {
    this.#project.declare(args);
  }

  up() {
    return this.#project.up();
  }

  preview() {
    return this.#project.engine.preview();
  }

  destroy() {
    return this.#project.engine.destroy();
  }

  async outputs() {
    const inventory = await this.#project.inventory();
    return { inventory, credentials: await this.#project.credentials() };
  }

  async machines(): Promise<Map<string, string>> {
    return new Map(this.#project.servers().map(({ node, pid }) => [node, String(pid)]));
  }

  async kill(node: string): Promise<void> {
    for (const server of this.#project.servers()) if (server.node === node) process.kill(server.pid, "SIGKILL");
  }

  async lose(node: string): Promise<void> {
    await this.kill(node);
    rmSync(join(this.#data, node), { recursive: true, force: true });
  }

  async left() {
    const folders = existsSync(this.#data) ? readdirSync(this.#data) : [];
    return { machines: this.#project.servers().length, data: folders.length, other: 0 };
  }

  async dispose(): Promise<void> {
    this.#project.dispose();
  }

  get #data(): string {
    return join(this.#project.directory, ".local/data/test/sessions");
  }
}
