import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster, Redis } from "ioredis";
import type { Access } from "../../../components/access/types";
import type { FormationGoal, History } from "../../../components/formation/goal";
import { layoutOf } from "../../../components/formation/layout";
import { answering, self } from "../../../components/formation/observation";
import { observe } from "../../../components/formation/observe";
import { type Reconciled, type ReconcileOptions, reconcile } from "../../../components/formation/reconcile";
import { countSlots, expandSlots, SLOT_COUNT } from "../../../components/formation/slots";
import { Connections } from "../../../components/formation/wire";
import { keySlot } from "../../../components/spec/keySlot";
import { place } from "../../../components/topology/place";
import type { SlotRange } from "../../../components/topology/plan";
import { type ClientLogin, clusterClient, nodeClient } from "../../support/clients";
import { freeEndpoints, type Shape } from "../../support/formation";
import { MODE } from "../../support/modes";
import { Security } from "../../support/security";
import { type RunningServer, type ServerProgram, startServer } from "../../support/servers";
import { specOf } from "../../unit/topology/support";

export interface ChangingOptions {
  /** Default: 5000. */
  readonly nodeTimeoutMilliseconds?: number;
  /** More lines for every node's redis.conf. */
  readonly lines?: readonly string[];
  readonly security?: Security;
}

/** A cluster whose declaration changes: servers come before a change is carried out, and go after it. */
export class ChangingCluster {
  goal: FormationGoal;
  history: History = { members: [], verified: false };
  readonly #program: ServerProgram;
  readonly #timeout: number;
  readonly #root = mkdtempSync(join(tmpdir(), "prc-scale-"));
  readonly #servers = new Map<string, RunningServer>();
  readonly #endpoints: Record<string, { address: string; port: number; busPort: number }> = {};
  readonly #lines: readonly string[];
  readonly #security: Security | undefined;

  private constructor(
    program: ServerProgram,
    goal: FormationGoal,
    timeout: number,
    lines: readonly string[],
    security: Security | undefined,
  ) {
    this.#security = security;
    this.#program = program;
    this.goal = goal;
    this.#timeout = timeout;
    this.#lines = lines;
  }

  /** Formed and verified. @param security default: as the mode of this test run is */
  static async start(
    program: ServerProgram,
    shape: Shape,
    { nodeTimeoutMilliseconds = 5_000, lines = [], security }: ChangingOptions = {},
  ): Promise<ChangingCluster> {
    const nothing = { endpoints: {} } as unknown as FormationGoal;
    const secured = security ?? (MODE.strict ? await Security.shared() : undefined);
    const cluster = new ChangingCluster(program, nothing, nodeTimeoutMilliseconds, lines, secured);
    try {
      await cluster.become(shape);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get names(): string[] {
    return this.goal.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
  }

  get running(): string[] {
    return [...this.#servers.keys()];
  }

  /** How formation comes in. */
  get access(): Access {
    return this.#security?.access ?? {};
  }

  /** How clients do. */
  get login(): ClientLogin {
    return this.#security?.login ?? {};
  }

  /** Formation's own connections, to be closed after use. */
  connections(name = "test-observer"): Connections {
    return new Connections(name, this.access);
  }

  /** Arguments with which a MIGRATE that is sent by hand logs in. */
  get migrateAuth(): readonly string[] {
    return this.#security?.migrateAuth ?? [];
  }

  get cliPath(): string {
    return this.#program.cliPath ?? "redis-cli";
  }

  endpoint(name: string): { address: string; port: number; busPort: number } {
    const endpoint = this.#endpoints[name];
    if (!endpoint) throw new Error(`no node ${name}`);
    return endpoint;
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#servers.get(name)?.process.kill(signal);
  }

  /** The goal of a shape; servers of nodes that it adds are started. */
  async declare(shape: Shape): Promise<FormationGoal> {
    const spec = specOf(shape.masters, shape.replicas, shape.zones, {
      engine: { name: this.#program.engine, version: this.#program.version },
      nodeTimeoutMilliseconds: this.#timeout,
    });
    const plan = place(spec);
    const nodes = plan.shards.flatMap((s) => s.nodes);
    const fresh = nodes.filter(({ name }) => !this.#endpoints[name]);
    Object.assign(this.#endpoints, await freeEndpoints(fresh, plan.zones));
    await Promise.all(nodes.filter(({ name }) => !this.#servers.has(name)).map(({ name }) => this.startNode(name)));
    this.goal = {
      cluster: spec.name,
      engine: spec.engine,
      plan,
      endpoints: Object.fromEntries(nodes.map(({ name }) => [name, this.endpoint(name)])),
      settings: { "cluster-node-timeout": String(this.#timeout) },
      nodeTimeoutMilliseconds: this.#timeout,
    };
    return this.goal;
  }

  /** The whole change: servers, formation, and the end of those that left. */
  async become(shape: Shape, options: Partial<ReconcileOptions> = {}): Promise<Reconciled> {
    await this.declare(shape);
    const result = await this.reconcile(options);
    await this.endRetired();
    return result;
  }

  async reconcile(options: Partial<ReconcileOptions> = {}): Promise<Reconciled> {
    const result = await reconcile(this.goal, this.history, { access: this.access, onProgress: () => {}, ...options });
    this.history = { members: result.members, verified: true };
    return result;
  }

  async endRetired(): Promise<void> {
    const names = new Set(this.names);
    for (const name of this.running) {
      if (names.has(name)) continue;
      await this.killNode(name, "SIGTERM");
      rmSync(join(this.#root, name), { recursive: true, force: true });
      delete this.#endpoints[name];
    }
  }

  async startNode(name: string): Promise<void> {
    const { address, port } = this.endpoint(name);
    const dir = join(this.#root, name);
    mkdirSync(dir, { recursive: true });
    const lines = [
      "cluster-enabled yes",
      "cluster-config-file nodes.conf",
      `cluster-node-timeout ${this.#timeout}`,
      "cluster-require-full-coverage no",
      "cluster-allow-replica-migration no",
      "protected-mode no",
      "appendonly yes",
      'save ""',
      "repl-diskless-sync-delay 0",
      `bind ${address}`,
      `cluster-announce-ip ${address}`,
      ...this.#lines,
    ];
    const engine = { name: this.#program.engine, version: this.#program.version };
    const security = await this.#security?.forNode(name, address, engine);
    const server = await startServer({
      server: this.#program,
      address,
      port,
      dir,
      conf: `${lines.join("\n")}\n`,
      timeoutMilliseconds: 30_000,
      ...(security ? { security } : {}),
    });
    this.#servers.set(name, server);
  }

  async killNode(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const server = this.#servers.get(name);
    this.#servers.delete(name);
    await server?.stop(signal);
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.map((name) => this.killNode(name, "SIGKILL")));
    rmSync(this.#root, { recursive: true, force: true });
  }

  connect(name: string): Redis {
    return nodeClient(this.endpoint(name), this.login);
  }

  /** One command to one node. */
  async call(name: string, command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    const client = this.connect(name);
    try {
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  /** An ordinary client with the library's own defaults. */
  client(): Cluster {
    return clusterClient(Object.values(this.goal.endpoints), this.login);
  }

  /** Names of the masters with slots, in the plan's order of shards. */
  async leaders(): Promise<string[]> {
    const connections = this.connections();
    try {
      return layoutOf(this.goal, await observe(this.goal, connections)).map((s) => s.leader?.name ?? "");
    } finally {
      connections.close();
    }
  }

  /** What is wrong with the cluster as its nodes see it; empty where it is whole, even, and without anything left over. */
  async faults(): Promise<string[]> {
    const connections = this.connections();
    try {
      const nodes = answering(await observe(this.goal, connections));
      const masters = nodes.filter((n) => self(n).slots.length > 0);
      const counts = masters.map((n) => countSlots(self(n).slots));
      const faults: string[] = [];
      if (nodes.length !== this.names.length) faults.push(`${nodes.length} of ${this.names.length} nodes answer`);
      if (masters.length !== this.goal.plan.shards.length) faults.push(`${masters.length} masters own slots`);
      if (counts.reduce((a, b) => a + b, 0) !== SLOT_COUNT) faults.push(`${counts.join("+")} slots are owned`);
      if (Math.max(...counts) - Math.min(...counts) > 1) faults.push(`uneven: ${counts.join(", ")}`);
      for (const node of nodes) {
        if (node.view.length !== this.names.length) faults.push(`${node.name} knows ${node.view.length} nodes`);
        if (self(node).openSlots.length > 0) faults.push(`${node.name} has open slots`);
      }
      // Keys that lie where no client is sent to would be lost without anybody seeing it.
      for (const master of masters) {
        const strays = await this.#strayKeys(master.name, self(master).slots);
        if (strays !== 0) faults.push(`${master.name} holds ${strays} keys of slots that are not its own`);
      }
      return faults;
    } finally {
      connections.close();
    }
  }

  /** Keys of a master that lie in none of its slots. Keys that expire between two counts count for a moment. */
  async #strayKeys(name: string, slots: readonly SlotRange[]): Promise<number> {
    const client = this.connect(name);
    try {
      for (let attempt = 1; ; attempt++) {
        const transaction = client.multi();
        for (const slot of expandSlots(slots)) transaction.call("CLUSTER", "COUNTKEYSINSLOT", String(slot));
        const counts = ((await transaction.dbsize().exec()) ?? []).map(([, n]) => Number(n));
        const all = counts.pop() ?? 0;
        const strays = all - counts.reduce((sum, n) => sum + n, 0);
        if (strays === 0 || attempt === 20) return strays;
      }
    } finally {
      client.disconnect();
    }
  }
}

/** A key for this slot, the `n`th of them. */
export function keyIn(slot: number, n = 0): string {
  for (let i = 0; ; i++) {
    const tag = i.toString(36);
    if (keySlot(`{${tag}}`) === slot) return `{${tag}}:${n}`;
  }
}
