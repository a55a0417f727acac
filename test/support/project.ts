import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import type {
  ClusterCredentials,
  ClusterInventory,
  ClusterTlsCredentials,
  InventoryNode,
} from "../../components/cluster/inventory";
import {
  type Command,
  createWorkspace,
  type RunOptions,
  type RunResult,
  type StartedRun,
  type Workspace,
} from "../engine/workspace";
import type { ServerProgram } from "./servers";
import { takeTurn } from "./turns";

const repository = resolve(__dirname, "../..");

/** A user's project: a folder with a program of one cluster, whose arguments a test changes between runs. */
export class Project {
  readonly directory: string;
  readonly #workspace: Workspace;
  /** Once it was up, it keeps its ports. */
  #hasPorts = false;

  private constructor(directory: string, workspace: Workspace) {
    this.directory = directory;
    this.#workspace = workspace;
  }

  /** @param server what `findServer` is to find; a path that does not exist plays the machine without one */
  static async create(
    args: object,
    server: Pick<ServerProgram, "path">,
    engine: "hermetic" | "cli" = "hermetic",
  ): Promise<Project> {
    const directory = realpathSync(mkdtempSync(join(tmpdir(), "prc-project-")));
    mkdirSync(join(directory, "node_modules"));
    symlinkSync(repository, join(directory, "node_modules", "pulumi-redis-cluster"));
    symlinkSync(join(repository, "node_modules", "@pulumi"), join(directory, "node_modules", "@pulumi"));
    writeFileSync(
      join(directory, "package.json"),
      '{"name":"user","main":"index.js","dependencies":{"pulumi-redis-cluster":"*"}}',
    );
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
    const workspace = await createWorkspace({
      program: { directory },
      stack: "test",
      engine,
      env: { REDIS_SERVER: server.path },
    });
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
    const end = this.#hasPorts ? undefined : await takeTurn();
    try {
      const result = await this.#workspace.up(options);
      this.#hasPorts ||= result.ok;
      return result;
    } finally {
      end?.();
    }
  }

  /** While none of its servers runs, the new cluster of another test would choose their ports. */
  async whileDown(work: () => Promise<void>): Promise<void> {
    const end = await takeTurn();
    try {
      await work();
    } finally {
      end();
    }
  }

  /** @throws Error with everything the run printed, where it failed */
  async mustUp(options?: RunOptions): Promise<RunResult> {
    const result = await this.up(options);
    if (!result.ok) throw new Error(`up failed:\n${result.stdout}\n${result.stderr}`);
    return result;
  }

  /** Starts a run, so that a test can watch it and kill it. */
  async start(command: Command = "up"): Promise<LiveRun> {
    const end = this.#hasPorts ? undefined : await takeTurn();
    const run = new LiveRun(this.#workspace.start(command), this.directory);
    void run.result.finally(() => end?.()).catch(() => {});
    return run;
  }

  async inventory(): Promise<ClusterInventory> {
    return (await this.#workspace.outputs())["inventory"] as ClusterInventory;
  }

  async nodes(): Promise<InventoryNode[]> {
    return (await this.inventory()).shards.flatMap((s) => s.nodes);
  }

  async credentials(): Promise<ClusterCredentials> {
    return (await this.#workspace.outputs({ showSecrets: true }))["credentials"] as ClusterCredentials;
  }

  /** Every server that runs on this project's data, written down or not, found by its working folder. */
  servers(): { pid: number; node: string }[] {
    const data = join(this.directory, ".local/data/");
    return processes()
      .filter(({ cwd }) => cwd.startsWith(data))
      .map(({ pid, cwd }) => ({
        pid,
        node:
          cwd
            .replace(/ \(deleted\)$/, "")
            .split("/")
            .at(-1) ?? "",
      }))
      .sort((a, b) => (a.node < b.node ? -1 : 1));
  }

  /** Every process of a run: engine, program, providers. They work in the project's folder, as servers do not. */
  workers(): number[] {
    return processes().flatMap(({ pid, cwd }) => (cwd === this.directory ? [pid] : []));
  }

  /** Waits until no process of a killed run is left. @throws Error with what still runs */
  async workersGone(milliseconds = 15_000): Promise<void> {
    for (const until = Date.now() + milliseconds; this.workers().length > 0; await setTimeout(50)) {
      if (Date.now() > until)
        throw new Error(`left running ${milliseconds} ms after a kill: ${this.workers().map(commandLine).join("; ")}`);
    }
  }

  /** Where a node listens, by what its folder says: known before any output is. */
  endpoint(node: string): { address: string; port: number } {
    return JSON.parse(readFileSync(join(this.directory, ".local/data/test/sessions", node, "instance.json"), "utf8"));
  }

  /** Process IDs of the cluster's servers, by node name. */
  async pids(): Promise<Map<string, number>> {
    const pids = new Map<string, number>();
    for (const { nodes } of (await this.inventory()).shards) {
      for (const { name } of nodes) {
        const record = JSON.parse(
          readFileSync(join(this.directory, ".local/data/test/sessions", name, "instance.json"), "utf8"),
        );
        pids.set(name, record.pid);
      }
    }
    return pids;
  }

  /** Everything that was started here ends, by its mark, and every folder goes. */
  dispose(): void {
    this.#workspace.dispose();
    // Servers have an environment of their own, without the mark, and work below the folder, wherever a test put the data.
    for (const { pid, cwd } of processes()) if (cwd.startsWith(`${this.directory}/`)) process.kill(pid, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export type Victim = "engine" | "provider" | "both";

/** A run that goes on while a test looks at it. */
export class LiveRun {
  readonly #started: StartedRun;
  readonly #directory: string;
  #printed = "";
  #ended = false;

  constructor(started: StartedRun, directory: string) {
    this.#started = started;
    this.#directory = directory;
    started.child.stdout?.on("data", (text: string) => (this.#printed += text));
    void started.result.then(() => (this.#ended = true));
  }

  get result(): Promise<RunResult> {
    return this.#started.result;
  }

  /** Until a line was printed for the given time. @throws Error where the run ends without it */
  async until(pattern: RegExp, times = 1): Promise<void> {
    const all = new RegExp(pattern, "g");
    for (; [...this.#printed.matchAll(all)].length < times; await setTimeout(2)) {
      if (this.#ended) throw new Error(`the run ended before it printed ${pattern} ${times}x:\n${this.#printed}`);
    }
  }

  /** SIGKILL, so that nobody can clean up. "provider" is the process in which the library's own code runs. */
  kill(victim: Victim): void {
    const providers = processes().filter(
      ({ pid, cwd }) => cwd === this.#directory && commandLine(pid).includes("dynamic-provider"),
    );
    if (victim !== "provider") process.kill(this.#started.pid, "SIGKILL");
    if (victim !== "engine") for (const { pid } of providers) process.kill(pid, "SIGKILL");
  }
}

/** A connection to one node that keeps silent about errors which a test causes on purpose, closed after use. */
export async function withNode<T>(
  node: { address: string; port: number },
  use: (client: Redis) => Promise<T>,
): Promise<T> {
  const client = new Redis(node.port, node.address, {
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  client.on("error", () => {});
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

export function processes(): { pid: number; cwd: string }[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      return isRunning(Number(entry)) ? [{ pid: Number(entry), cwd: readlinkSync(`/proc/${entry}/cwd`) }] : [];
    } catch {
      return []; // gone, or not ours to look at
    }
  });
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "";
  }
}

/** What `redis-cli --cluster check` says, asked at one node. */
export function redisCliCheck(
  cliPath: string,
  address: string,
  port: number,
  { username, password, tls }: CheckLogin = {},
): { ok: boolean; text: string } {
  const files = tls && tlsFiles(tls);
  try {
    const args = ["--cluster", "check", `${address}:${port}`];
    if (username !== undefined) args.push("--user", username);
    if (files) args.push("--tls", "--cacert", files.ca, "--cert", files.cert, "--key", files.key);
    const text = execFileSync(cliPath, args, {
      encoding: "utf8",
      env: { ...process.env, ...(password === undefined ? {} : { REDISCLI_AUTH: password }) },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return {
      ok: /\[OK\] All 16384 slots covered/.test(text) && /\[OK\] All nodes agree about slots configuration/.test(text),
      text,
    };
  } catch (error) {
    return { ok: false, text: String((error as { stdout?: string }).stdout ?? error) };
  } finally {
    if (files) rmSync(files.folder, { recursive: true, force: true });
  }
}

interface CheckLogin {
  readonly username?: string;
  readonly password?: string;
  readonly tls?: ClusterTlsCredentials;
}

/** `redis-cli` takes no certificates but in files. */
export function tlsFiles({ caCertificatePem, certificatePem = "", keyPem = "" }: ClusterTlsCredentials) {
  const folder = mkdtempSync(join(tmpdir(), "prc-tls-"));
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  return {
    folder,
    ca: write("ca.pem", caCertificatePem),
    cert: write("client.pem", certificatePem),
    key: write("client.key", keyPem),
  };
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
