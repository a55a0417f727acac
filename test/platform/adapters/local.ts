import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FILES } from "../../../infra/platforms/local/runner/folder";
import { until } from "../../support/formation";
import { OPEN } from "../../support/modes";
import { CLUSTER_NAME, isRunning, Project, STACK_NAME } from "../../support/project";
import { addProcesses } from "../../support/secrets";
import { testServers } from "../../support/servers";
import { type ClusterUnderTest, have, type PlatformUnderTest } from "../platform";

const LOG_LINES = 12;

const servers = await testServers();

/** Server processes of this machine. */
export const local: PlatformUnderTest = {
  name: "local",
  nodeType: "LocalNode",
  missing: servers ? undefined : "there are no servers here",
  plugins: [],
  argsFor: (server) => ({ serverBinary: have(servers)[server].path }),
  create: async (args, engine) =>
    // Which one runs is among the arguments.
    new LocalCluster(await Project.create(args, have(servers)["redis-8.0"], { engine, mode: OPEN })),
};

class LocalCluster implements ClusterUnderTest {
  readonly project: Project;

  constructor(project: Project) {
    this.project = project;
  }

  async machines(): Promise<Map<string, string>> {
    return new Map(this.project.servers().map(({ node, pid }) => [node, String(pid)]));
  }

  async kill(nodes: readonly string[]): Promise<void> {
    const victims = this.project.servers().filter(({ node }) => nodes.includes(node));
    for (const { pid } of victims) process.kill(pid, "SIGKILL");
    await until("they have ended", () => victims.every(({ pid }) => !isRunning(pid)));
  }

  async lose(node: string): Promise<void> {
    await this.kill([node]);
    rmSync(join(this.#data, node), { recursive: true });
  }

  async left() {
    const folders = existsSync(this.#data) ? readdirSync(this.#data) : [];
    return { machines: this.project.servers().length, data: folders.length, other: 0 };
  }

  async told(): Promise<string> {
    const running = new Set(this.project.servers().map(({ node }) => node));
    const nodes = existsSync(this.#data) ? readdirSync(this.#data) : [];
    return nodes
      .map((node) => {
        const log = join(this.#data, node, FILES.log);
        const lines = existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").slice(-LOG_LINES) : [];
        return [`${node}: ${running.has(node) ? "running" : "not running"}`, ...lines].join("\n");
      })
      .join("\n");
  }

  async visible(): Promise<Map<string, string>> {
    const places = new Map<string, string>();
    addProcesses(places, this.project.directory);
    return places;
  }

  async dispose(): Promise<void> {
    this.project.dispose();
  }

  get #data(): string {
    return join(this.project.directory, ".local/data", STACK_NAME, CLUSTER_NAME);
  }
}
