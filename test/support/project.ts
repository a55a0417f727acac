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
import type { Cluster, ClusterOptions, Redis } from "ioredis";
import type { ClusterCredentials, ClusterInventory, InventoryNode } from "../../components/cluster/inventory";
import type { PasswordTable } from "../../components/formation/runner/passwords";
import { type CertificateTable, isTable } from "../../components/security/certificates";
import { joinPem } from "../../components/security/files";
import { OWN_CLIENT } from "../../components/spec/checkTls";
import {
  type Command,
  createWorkspace,
  type EngineName,
  type RunOptions,
  type RunResult,
  type StartedRun,
  type Workspace,
} from "../engine/workspace";
import {
  adminLogin,
  ask,
  type ClientLogin,
  clientTls,
  clusterClient,
  loginOf,
  nodeClient,
  type Place,
  redisCliCheck,
  withNode,
} from "./clients";
import { until } from "./formation";
import { MODE, type Mode } from "./modes";
import type { ServerProgram, ServerSecurity } from "./servers";
import { takeTurn } from "./turns";

const repository = resolve(__dirname, "../..");

/** Where the cluster of a project is. */
export interface ProjectPlatform {
  /** As a program imports it: `pulumi-redis-cluster/docker`. */
  readonly entry: string;
  /** Class of its component. */
  readonly component: string;
  /** Name of the Pulumi project. What it makes outside of its folder has the name too, so no two that are there at once may share it. */
  readonly project: string;
  readonly env: Readonly<Record<string, string>>;
  /** The first run looks for free ports of this machine: then two of them take turns. */
  readonly choosesPorts: boolean;
}

/** Name of the cluster in every project. */
export const CLUSTER_NAME = "sessions";
export const STACK_NAME = "test";

function localPlatform(server: Pick<ServerProgram, "path">): ProjectPlatform {
  return {
    entry: "pulumi-redis-cluster/local",
    component: "LocalRedisCluster",
    project: "user",
    env: { REDIS_SERVER: server.path },
    choosesPorts: true,
  };
}

/** A user's project: a folder with a program of one cluster, whose arguments a test changes between runs. */
export class Project {
  readonly directory: string;
  readonly #workspace: Workspace;
  readonly #mode: Mode;
  readonly #cliPath: string;
  /** Once it was up, it keeps its ports. */
  #hasPorts: boolean;
  /** Somebody has to log in, or to speak TLS. */
  #closed = false;
  /** How operators come in, as the last run left it. */
  #admin: Promise<ClientLogin> | undefined;

  private constructor(
    directory: string,
    workspace: Workspace,
    mode: Mode,
    { cliPath, hasPorts }: { readonly cliPath: string; readonly hasPorts: boolean },
  ) {
    this.directory = directory;
    this.#hasPorts = hasPorts;
    this.#workspace = workspace;
    this.#mode = mode;
    this.#cliPath = cliPath;
  }

  /** @param server what `findServer` is to find; a path that does not exist plays the machine without one */
  static async create(
    args: object,
    server: Pick<ServerProgram, "path"> & Partial<Pick<ServerProgram, "cliPath">>,
    { engine = "hermetic", mode = MODE, platform = localPlatform(server) }: ProjectOptions = {},
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
      `name: ${platform.project}\nmain: index.js\nruntime: { name: nodejs, options: { typescript: false } }\noptions: { refresh: always }\n`,
    );
    writeFileSync(
      join(directory, "index.js"),
      `const { ${platform.component} } = require("${platform.entry}");
const cluster = new ${platform.component}("${CLUSTER_NAME}", JSON.parse(require("node:fs").readFileSync("args.json", "utf8")));
exports.inventory = cluster.inventory;
exports.seeds = cluster.seeds;
exports.credentials = cluster.credentials;
`,
    );
    const workspace = await createWorkspace({
      program: { directory },
      stack: STACK_NAME,
      engine,
      env: { ...platform.env },
    });
    const project = new Project(directory, workspace, mode, {
      cliPath: server.cliPath ?? "redis-cli",
      hasPorts: !platform.choosesPorts,
    });
    project.declare(args);
    return project;
  }

  /** Writes the declaration that the next run finds; what the mode asks for comes by itself. */
  declare(args: object): void {
    const all = { ...this.#mode.args, ...args };
    this.#closed ||= "users" in all || "tls" in all;
    writeFileSync(join(this.directory, "args.json"), JSON.stringify(all));
  }

  /** Puts another text into the program. */
  rewrite(change: (program: string) => string): void {
    const file = join(this.directory, "index.js");
    writeFileSync(file, change(readFileSync(file, "utf8")));
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
      this.#admin = undefined;
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
    const ended = () => {
      this.#admin = undefined;
      end?.();
    };
    void run.result.finally(ended).catch(() => {});
    return run;
  }

  /** What a run says that found nothing to do. @param nodes how many are declared */
  unchanged(nodes = 6): string {
    // The stack, the component and its formation; each node's volume, machine and guard.
    const resources = 3 + 3 * nodes + ["users", "tls"].filter((name) => name in this.#mode.args).length;
    return `Resources:\n    ${resources} unchanged\n`;
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

  /** One connection to one node, as an operator; closed after use. Good from the first server of the first run on. */
  async withNode<T>(node: Place, use: (client: Redis) => Promise<T>): Promise<T> {
    return withNode(node, use, await this.#operator());
  }

  /** The same, open until its user ends it. */
  async connect(node: Place): Promise<Redis> {
    const client = nodeClient(node, await this.#operator());
    await client.connect();
    return client;
  }

  /** One command to one node, as an operator. @throws Error what the server answers */
  async ask(node: Place, command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    return ask(node, await this.#operator(), command, ...args);
  }

  /** A cluster client as an application has it. Host names that nodes announce mean nothing here, so it goes by their addresses. */
  async cluster(options: Omit<ClusterOptions, "redisOptions"> = {}): Promise<Cluster> {
    const login = this.#closed ? loginOf(await this.credentials()) : {};
    const nodes = await this.nodes();
    const natMap = Object.fromEntries(
      nodes.flatMap(({ hostname, address, port }) =>
        hostname === undefined ? [] : [[`${hostname}:${port}`, { host: address, port }]],
      ),
    );
    return clusterClient(nodes, login, { natMap, ...options });
  }

  /** Until every node says that it serves, whoever started it. */
  async served(): Promise<void> {
    const nodes = await this.nodes();
    await until("all nodes serve", async () => {
      const states = await Promise.all(nodes.map((node) => this.ask(node, "CLUSTER", "INFO").then(String, () => "")));
      return states.every((state) => /cluster_state:ok/.test(state));
    });
  }

  /** What `redis-cli --cluster check` says, asked at one node. */
  async check(node: Place): Promise<{ ok: boolean; text: string }> {
    return redisCliCheck(this.#cliPath, node, await this.#operator());
  }

  /** What a server needs whom this node is to take for one of its own: its certificate, if it has any. Its users are other ones. */
  async likeNode(node: string): Promise<{ readonly security?: ServerSecurity }> {
    const { tls } = await this.#operator();
    if (!tls) return {};
    const text = readFileSync(join(this.directory, ".local/data/test/sessions", node, "redis.conf"), "utf8");
    const lines = text.split("\n").filter((line) => /^tls-(?!port)/.test(line));
    return { security: { conf: `${lines.join("\n")}\n`, files: {}, login: { tls } } };
  }

  /** Asked of the state once between two runs, since that takes a process. */
  #operator(): Promise<ClientLogin> {
    this.#admin ??= this.#closed ? this.#operatorNow() : Promise.resolve({});
    return this.#admin;
  }

  /** As the outputs say; a first run that was killed has none, and the state says it all the same. */
  async #operatorNow(): Promise<ClientLogin> {
    const { credentials } = await this.#workspace.outputs({ showSecrets: true });
    if (credentials) return adminLogin(credentials as ClusterCredentials);
    const { resources = [] } = (await this.#workspace.exportStack({ showSecrets: true })).deployment;
    const tableOf = (type: RegExp) => {
      const outputs = resources.find((resource) => type.test(String(resource.type)))?.outputs;
      return opened((outputs as { readonly table?: unknown } | undefined)?.table);
    };
    const passwords = tableOf(/ClusterPasswords/) as PasswordTable | undefined;
    const certificates = tableOf(/ClusterCertificates/) as CertificateTable | undefined;
    const password = passwords?.["admin"]?.current;
    return {
      ...(password === undefined ? {} : { username: "admin", password }),
      ...(isTable(certificates)
        ? {
            tls: clientTls({
              caCertificatePem: joinPem(certificates.authorities.map((authority) => authority.certificatePem)),
              ...certificates.clients[OWN_CLIENT]?.[0],
            }),
          }
        : {}),
    };
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

  /**
   * Every process of a run: engine, program, providers. They work in the project's folder, as servers do not. Without the CLI's own plugins,
   * which notice only within minutes that their engine is gone: until then they may end a call that is under way, as they do at a user's.
   */
  workers(): number[] {
    return processes().flatMap(({ pid, cwd }) =>
      cwd === this.directory && !/\/pulumi-(language|resource)-\w+ /.test(`${commandLine(pid)} `) ? [pid] : [],
    );
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

export interface ProjectOptions {
  readonly engine?: EngineName;
  /** Default: that of this test run. */
  readonly mode?: Mode;
  /** Default: processes of this machine. */
  readonly platform?: ProjectPlatform;
}

export type Victim = "engine" | "provider" | "both";

/** A run that goes on while a test looks at it. */
export class LiveRun {
  readonly #started: StartedRun;
  readonly #directory: string;
  #printed = "";
  #ended = false;
  /** Called when it has printed more, or ended. */
  #noticed: (() => void) | undefined;

  constructor(started: StartedRun, directory: string) {
    this.#started = started;
    this.#directory = directory;
    started.child.stdout?.on("data", (text: string) => {
      this.#printed += text;
      this.#noticed?.();
    });
    void started.result.then(() => {
      this.#ended = true;
      this.#noticed?.();
    });
  }

  get result(): Promise<RunResult> {
    return this.#started.result;
  }

  /** Until a line was printed for the given time. @throws Error where the run ends without it */
  async until(pattern: RegExp, times = 1): Promise<void> {
    const all = new RegExp(pattern, "g");
    while ([...this.#printed.matchAll(all)].length < times) {
      if (this.#ended) throw new Error(`the run ended before it printed ${pattern} ${times}x:\n${this.#printed}`);
      await new Promise<void>((resolve) => {
        this.#noticed = resolve;
      });
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

/** A value of an exported state, with its secrets opened. */
export function opened(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null), (_key, each) =>
    typeof each?.plaintext === "string" ? opened(JSON.parse(each.plaintext)) : each,
  );
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

/** A process that was ended and that nobody has waited for yet (a zombie) is not running. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
