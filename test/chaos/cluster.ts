import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import type { NodeEndpoint } from "../../components/config/types";
import type { FormationGoal, History } from "../../components/formation/goal";
import { layoutOf, type ShardLayout } from "../../components/formation/layout";
import { answering, type ClusterObservation } from "../../components/formation/observation";
import { observe } from "../../components/formation/observe";
import { Connections } from "../../components/formation/wire";
import { place } from "../../components/topology/place";
import type { PlannedNode } from "../../components/topology/plan";
import { freePort, ownAddresses, type RunningServer, type ServerProgram, startServer } from "../support/servers";
import { specOf } from "../unit/topology/support";
import type { Declaration } from "./sequence";

const MEMORY = "/dev/shm";
const LOOK_MILLISECONDS = 2_000;

/** A stack as Pulumi would keep it: machines, what is declared, what formation recorded. Machines of nodes that are no longer declared go last. */
export class ChaosCluster {
  readonly program: ServerProgram;
  declared: Declaration;
  goal: FormationGoal;
  history: History = { members: [], verified: false };
  readonly #root = temporaryFolder();
  readonly #addressOf = ownAddresses();
  readonly #servers = new Map<string, RunningServer>();
  readonly #machines = new Map<string, PlannedNode & { endpoint: NodeEndpoint }>();
  #strangers = 0;

  constructor(program: ServerProgram, declared: Declaration) {
    this.program = program;
    this.declared = declared;
    this.goal = { endpoints: {} } as unknown as FormationGoal;
  }

  get names(): string[] {
    return this.goal.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
  }

  /** Every machine that the stack has, declared or not. */
  get machines(): string[] {
    return [...this.#machines.keys()];
  }

  get running(): string[] {
    return [...this.#servers.keys()];
  }

  endpoint(name: string): NodeEndpoint {
    const machine = this.#machines.get(name);
    if (!machine) throw new Error(`no machine ${name}`);
    return machine.endpoint;
  }

  dir(name: string): string {
    return join(this.#root, name);
  }

  /** What a stack remembers; `machines` are in its state whether a run ended or was killed. */
  remembered(): History {
    return { ...this.history, machines: [...this.#machines.values()] };
  }

  /** Servers of nodes that are new or dead are started, as machines are before formation. */
  async declare(declared: Declaration): Promise<void> {
    const spec = specOf(declared.masters, declared.replicas, declared.zones, {
      engine: { name: this.program.engine, version: this.program.version },
      nodeTimeoutMilliseconds: declared.nodeTimeoutMilliseconds,
    });
    const plan = place(spec);
    const nodes = plan.shards.flatMap((s) => s.nodes);
    this.declared = declared;
    for (const node of nodes)
      if (!this.#machines.has(node.name))
        this.#machines.set(node.name, { ...node, endpoint: await this.#freeEndpoint(node.zone) });
    await Promise.all(nodes.filter((n) => !this.#servers.has(n.name)).map((n) => this.startNode(n.name)));
    this.goal = {
      cluster: spec.name,
      engine: spec.engine,
      plan,
      endpoints: Object.fromEntries(nodes.map(({ name }) => [name, this.endpoint(name)])),
      settings: {
        "cluster-node-timeout": String(declared.nodeTimeoutMilliseconds),
        "maxmemory-policy": declared.maxmemoryPolicy,
      },
      nodeTimeoutMilliseconds: declared.nodeTimeoutMilliseconds,
    };
  }

  /** Servers that ended by themselves, started again as a platform does. @returns their last words */
  async reviveCrashed(): Promise<string[]> {
    const crashed = [...this.#servers].filter(([, { process: p }]) => p.exitCode !== null || p.signalCode !== null);
    return Promise.all(
      crashed.map(async ([name, server]) => {
        await this.startNode(name);
        const words = /ASSERTION FAILED[\s\S]{0,400}|crashed by signal[\s\S]{0,200}/.exec(server.log())?.[0];
        return `${name} (${(words ?? server.log().slice(-300)).split("\n").join(" / ")})`;
      }),
    );
  }

  /** What is to be known of a server that does not answer: whether it runs, and the end of its log. */
  lastWords(name: string): string[] {
    const server = this.#servers.get(name);
    if (!server) return ["it is not running"];
    const { exitCode, signalCode } = server.process;
    const how = exitCode !== null || signalCode !== null ? `it ended: ${signalCode ?? exitCode}` : "its process runs";
    return [how, ...server.log().trimEnd().split("\n").slice(-30)];
  }

  /**
   * Of these, servers that go round in a loop of their own: they burn half of a processor and more, and answer nobody all the while. Valkey
   * alone is known to (ARCHITECTURE.md); what happened to any other is not to be hidden.
   */
  async looping(names: readonly string[]): Promise<string[]> {
    if (this.program.engine !== "valkey") return [];
    const before = names.map((name) => this.#ticks(name));
    await setTimeout(LOOK_MILLISECONDS);
    const burning = names.filter((name, i) => this.#ticks(name) - (before[i] ?? 0) > LOOK_MILLISECONDS / 20);
    const answers = await Promise.all(
      burning.map((name) =>
        this.call(name, "PING").then(
          () => true,
          () => false,
        ),
      ),
    );
    return burning.filter((_, i) => !answers[i]);
  }

  /** Hundredths of a second that a server has used of a processor, as proc(5) tells; 0 where nothing is known. */
  #ticks(name: string): number {
    const file = `/proc/${this.#servers.get(name)?.process.pid}/stat`;
    if (!existsSync(file)) return 0;
    // The name, in brackets, may hold anything; the fields behind it begin with the third. utime is the fourteenth, stime the next.
    const fields = readFileSync(file, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }

  /** Deletes the machines that are no longer declared, as Pulumi does at the end of an `up` that succeeded. */
  async deleteUndeclared(): Promise<void> {
    const declared = new Set(this.names);
    await Promise.all(
      this.machines
        .filter((name) => !declared.has(name))
        .map(async (name) => {
          await this.stopNode(name, "SIGTERM");
          rmSync(this.dir(name), { recursive: true, force: true });
          this.#machines.delete(name);
        }),
    );
  }

  async #freeEndpoint(zone: string): Promise<NodeEndpoint> {
    const address = this.#addressOf(zone.charCodeAt(zone.length - 1) - 97);
    const taken = new Set([...this.#machines.values()].map(({ endpoint }) => endpoint.port));
    for (;;) {
      const port = await freePort(address);
      if (!taken.has(port)) return { address, port, busPort: port + 10_000 };
    }
  }

  async startNode(name: string): Promise<void> {
    const endpoint = this.endpoint(name);
    this.#servers.set(name, await this.#start(endpoint, this.dir(name)));
  }

  async #start({ address, port }: NodeEndpoint, dir: string): Promise<RunningServer> {
    mkdirSync(dir, { recursive: true });
    const lines = [
      "cluster-enabled yes",
      "cluster-config-file nodes.conf",
      `cluster-node-timeout ${this.declared.nodeTimeoutMilliseconds}`,
      `maxmemory-policy ${this.declared.maxmemoryPolicy}`,
      "cluster-require-full-coverage no",
      "cluster-allow-replica-migration no",
      "protected-mode no",
      "appendonly yes",
      'save ""',
      "repl-diskless-sync-delay 0",
      `bind ${address}`,
      `cluster-announce-ip ${address}`,
    ];
    const options = {
      server: this.program,
      address,
      port,
      dir,
      conf: `${lines.join("\n")}\n`,
      timeoutMilliseconds: 30_000,
    };
    for (let attempt = 1; ; attempt++) {
      try {
        return await startServer(options);
      } catch (error) {
        // A killed server's last thread may hold the port for a moment more.
        if (attempt === 20 || !/Address already in use|Failed listening/.test(String(error))) throw error;
        await setTimeout(100);
      }
    }
  }

  async stopNode(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const server = this.#servers.get(name);
    this.#servers.delete(name);
    await server?.stop(signal);
  }

  /** Another port of its zone's address from now on. The node must be stopped. */
  async moveNode(name: string): Promise<void> {
    const machine = this.#machines.get(name);
    if (!machine) throw new Error(`no machine ${name}`);
    this.#machines.set(name, { ...machine, endpoint: await this.#freeEndpoint(machine.zone) });
  }

  /** Suspends a server, or lets it go on. */
  signal(name: string, signal: "SIGSTOP" | "SIGCONT"): void {
    this.#servers.get(name)?.process.kill(signal);
  }

  /** A server that belongs to nobody, blank. Stopped with the others. */
  async stranger(): Promise<{ name: string; endpoint: NodeEndpoint }> {
    const endpoint = await this.#freeEndpoint("zone-a");
    const name = `stranger-${++this.#strangers}`;
    this.#servers.set(name, await this.#start(endpoint, this.dir(name)));
    return { name, endpoint };
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.map((name) => this.stopNode(name)));
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** One command to one server. @throws what it answers, or why it does not within two seconds */
  async call(at: string | NodeEndpoint, command: string, ...args: (string | number)[]): Promise<unknown> {
    const client = openClient(typeof at === "string" ? this.endpoint(at) : at);
    try {
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  async observe(): Promise<ClusterObservation> {
    const connections = new Connections("chaos-observer");
    try {
      return await observe(this.goal, connections, this.history.members);
    } finally {
      connections.close();
    }
  }

  /** Shards with a leader that answers, as observed. */
  async layout(): Promise<(ShardLayout & { leader: NonNullable<ShardLayout["leader"]> })[]> {
    return layoutOf(this.goal, await this.observe()).flatMap((s) => (s.leader ? [{ ...s, leader: s.leader }] : []));
  }

  async alive(): Promise<string[]> {
    return answering(await this.observe()).map((n) => n.name);
  }
}

/** In memory where there is such a place: each change of a slot is an fsync of nodes.conf, and the disk is not what is tested. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "prc-chaos-"));
  if (temporary.size === 0)
    process.once("exit", () => {
      for (const made of temporary) rmSync(made, { recursive: true, force: true });
    });
  temporary.add(folder);
  return folder;
}

const temporary = new Set<string>();

export function openClient({ address, port }: Pick<NodeEndpoint, "address" | "port">): Redis {
  const client = new Redis({
    host: address,
    port,
    enableReadyCheck: false,
    disableClientInfo: true,
    commandTimeout: 2_000,
    connectTimeout: 2_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  client.on("error", () => {});
  return client;
}

/** Looks often until it is so. @throws after the limit */
export async function until(
  what: string,
  condition: () => Promise<boolean>,
  limitMilliseconds = 20_000,
): Promise<void> {
  for (const end = Date.now() + limitMilliseconds; ; await setTimeout(25)) {
    if (await condition().catch(() => false)) return;
    if (Date.now() > end) throw new Error(`waited ${limitMilliseconds} ms in vain until ${what}`);
  }
}
