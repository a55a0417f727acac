import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ClusterCredentials, ClusterInventory, InventoryNode } from "../../components/cluster/inventory";
import { createWorkspace, type RunResult, type Workspace } from "../engine/workspace";
import { dockerClient, dockerHost } from "./docker";

const repository = resolve(__dirname, "../..");
const OWNER = "pulumi-redis-cluster.owner";

export interface Outputs {
  readonly inventory: ClusterInventory;
  readonly credentials: ClusterCredentials;
}

/** A user's project: a folder with a program of one cluster in Docker, named `dev`, in the stack `test`. */
export class DockerProject {
  readonly directory: string;
  readonly name: string;
  readonly engine: Workspace;

  private constructor(directory: string, name: string, engine: Workspace) {
    this.directory = directory;
    this.name = name;
    this.engine = engine;
  }

  /**
   * @param kind part of the project's name, which tells clusters of one run apart
   * @param name the project's name. Default: one of its own
   */
  static async create(kind: string, args: object, name = `${kind}-${process.pid}`): Promise<DockerProject> {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), "prc-docker-")));
    mkdirSync(join(directory, "node_modules"));
    symlinkSync(repository, join(directory, "node_modules", "pulumi-redis-cluster"));
    symlinkSync(join(repository, "node_modules", "@pulumi"), join(directory, "node_modules", "@pulumi"));
    const dependencies = { "pulumi-redis-cluster": "*" };
    writeFileSync(join(directory, "package.json"), JSON.stringify({ name, main: "index.js", dependencies }));
    writeFileSync(
      join(directory, "Pulumi.yaml"),
      `name: ${name}\nmain: index.js\nruntime: { name: nodejs, options: { typescript: false } }\noptions: { refresh: always }\n`,
    );
    writeFileSync(
      join(directory, "index.js"),
      `const { DockerRedisCluster } = require("pulumi-redis-cluster/docker");
const cluster = new DockerRedisCluster("dev", JSON.parse(require("node:fs").readFileSync("args.json", "utf8")));
exports.inventory = cluster.inventory;
exports.credentials = cluster.credentials;
`,
    );
    const env = { DOCKER_HOST: dockerHost ?? "" };
    const workspace = await createWorkspace({ program: { directory }, stack: "test", env });
    const project = new DockerProject(directory, name, workspace);
    project.declare(args);
    return project;
  }

  /** Writes the declaration that the next run finds. Data go with the cluster. */
  declare(args: object): void {
    writeFileSync(join(this.directory, "args.json"), JSON.stringify({ dataOnDestroy: "delete", ...args }));
  }

  /** The cluster's own network, which other containers may join. */
  get network(): string {
    return `${this.name}-test-dev`;
  }

  /** @throws Error with everything the run printed, where it failed */
  async mustUp(): Promise<RunResult> {
    const result = await this.engine.up();
    if (!result.ok) throw new Error(`up failed:\n${result.stdout}\n${result.stderr}`);
    return result;
  }

  async outputs(): Promise<Outputs> {
    return (await this.engine.outputs({ showSecrets: true })) as unknown as Outputs;
  }

  /** IDs of the cluster's containers by node name. */
  async containers(): Promise<Map<string, string>> {
    const filters = { label: [`${OWNER}=${this.name}/test/dev`] };
    const all = await dockerClient().listContainers({ all: true, filters });
    return new Map(all.map(({ Id, Labels }) => [Labels["pulumi-redis-cluster.node"] ?? "", Id]));
  }

  /** Its folder and its state go, and nothing else. */
  forget(): void {
    this.engine.dispose();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Destroys the cluster; what a failed run may have left goes too. */
  async dispose(): Promise<void> {
    const result = await this.engine.destroy();
    this.forget();
    const left = [...(await this.containers()).values()];
    const docker = dockerClient();
    await Promise.all(left.map((id) => docker.getContainer(id).remove({ force: true, v: true })));
    const filters = { label: [`${OWNER}=${this.name}/test/dev`] };
    for (const { Name } of (await docker.listVolumes({ filters })).Volumes ?? []) await docker.getVolume(Name).remove();
    for (const { Id } of await docker.listNetworks({ filters })) await docker.getNetwork(Id).remove();
    if (!result.ok || left.length > 0) throw new Error(`destroy failed:\n${result.stdout}\n${result.stderr}`);
  }
}

export function nodesOf({ shards }: ClusterInventory): InventoryNode[] {
  return shards.flatMap(({ nodes }) => nodes);
}

/** The first of so many ports of this machine that are free, one after the other. */
export async function freePorts(count: number): Promise<number> {
  const isFree = (port: number) =>
    new Promise<boolean>((settled) => {
      const server = createServer();
      server.once("error", () => settled(false));
      server.listen(port, "127.0.0.1", () => server.close(() => settled(true)));
    });
  // Each test process begins elsewhere, below the ports that the system gives out.
  for (let first = 18_000 + (process.pid % 1_000) * 10; first < 32_000; first += count) {
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${count} ports in a row are free`);
}
