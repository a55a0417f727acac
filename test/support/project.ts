import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ClusterInventory } from "../../components/cluster/inventory";
import { type RunOptions, type RunResult, type Workspace, createWorkspace } from "../engine/workspace";
import type { ServerProgram } from "./servers";

const repository = resolve(__dirname, "../..");

/** A user's project: a folder with a program of one cluster, whose arguments a test changes between runs. */
export class Project {
  readonly directory: string;
  readonly #workspace: Workspace;

  private constructor(directory: string, workspace: Workspace) {
    this.directory = directory;
    this.#workspace = workspace;
  }

  /** @param server what `findServer` is to find; a path that does not exist plays the machine without one */
  static async create(args: object, server: Pick<ServerProgram, "path">, engine: "hermetic" | "cli" = "hermetic"): Promise<Project> {
    const directory = mkdtempSync(join(tmpdir(), "prc-project-"));
    mkdirSync(join(directory, "node_modules"));
    symlinkSync(repository, join(directory, "node_modules", "pulumi-redis-cluster"));
    symlinkSync(join(repository, "node_modules", "@pulumi"), join(directory, "node_modules", "@pulumi"));
    writeFileSync(join(directory, "package.json"), '{"name":"user","main":"index.js","dependencies":{"pulumi-redis-cluster":"*"}}');
    writeFileSync(
      join(directory, "Pulumi.yaml"),
      "name: user\nmain: index.js\nruntime: { name: nodejs, options: { typescript: false } }\noptions: { refresh: always }\n",
    );
    writeFileSync(
      join(directory, "index.js"),
      `const { LocalRedisCluster } = require("pulumi-redis-cluster/local");
const cluster = new LocalRedisCluster("sessions", JSON.parse(require("node:fs").readFileSync("args.json", "utf8")));
exports.inventory = cluster.inventory;
exports.seeds = cluster.seeds;
exports.credentials = cluster.credentials;
`,
    );
    const workspace = await createWorkspace({ program: { directory }, stack: "test", engine, env: { REDIS_SERVER: server.path } });
    const project = new Project(directory, workspace);
    project.declare(args);
    return project;
  }

  /** Writes the declaration that the next run finds. */
  declare(args: object): void {
    writeFileSync(join(this.directory, "args.json"), JSON.stringify(args));
  }

  get engine(): Workspace {
    return this.#workspace;
  }

  async up(options?: RunOptions): Promise<RunResult> {
    return this.#workspace.up(options);
  }

  /** @throws Error with everything the run printed, where it failed */
  async mustUp(options?: RunOptions): Promise<RunResult> {
    const result = await this.up(options);
    if (!result.ok) throw new Error(`up failed:\n${result.stdout}\n${result.stderr}`);
    return result;
  }

  async inventory(): Promise<ClusterInventory> {
    return (await this.#workspace.outputs())["inventory"] as ClusterInventory;
  }

  /** Process IDs of the cluster's servers, by node name. */
  async pids(): Promise<Map<string, number>> {
    const pids = new Map<string, number>();
    for (const { nodes } of (await this.inventory()).shards) {
      for (const { name } of nodes) {
        const record = JSON.parse(readFileSync(join(this.directory, ".local/data/test/sessions", name, "instance.json"), "utf8"));
        pids.set(name, record.pid);
      }
    }
    return pids;
  }

  /** Everything that was started here ends, by its mark, and every folder goes. */
  dispose(): void {
    this.#workspace.dispose();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What `redis-cli --cluster check` says, asked at one node. */
export function redisCliCheck(cliPath: string, address: string, port: number): { ok: boolean; text: string } {
  try {
    const text = execFileSync(cliPath, ["--cluster", "check", `${address}:${port}`], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    return { ok: /\[OK\] All 16384 slots covered/.test(text) && /\[OK\] All nodes agree about slots configuration/.test(text), text };
  } catch (error) {
    return { ok: false, text: String((error as { stdout?: string }).stdout ?? error) };
  }
}

/** A process that was ended and that nobody has waited for yet (a zombie) is not running. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
