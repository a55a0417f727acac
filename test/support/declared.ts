import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { allDirectives, clusterDirectives, mergeDirectives } from "../../components/config/clusterDirectives";
import { endpointDirectives } from "../../components/config/nodeDirectives";
import { normalizeSetting } from "../../components/config/normalize";
import type { NodeEndpoint } from "../../components/config/types";
import type { FormationGoal, History } from "../../components/formation/goal";
import { layoutOf, type ShardLayout } from "../../components/formation/layout";
import type { ClusterObservation } from "../../components/formation/observation";
import { observe } from "../../components/formation/observe";
import { type Reconciled, type ReconcileOptions, reconcile } from "../../components/formation/reconcile";
import { Connections } from "../../components/formation/wire";
import type { ClusterSpec } from "../../components/spec/spec";
import { place } from "../../components/topology/place";
import type { PlannedNode } from "../../components/topology/plan";
import { type RunningServer, type ServerProgram, startServer } from "./servers";

export interface DeclaredOptions {
  readonly spec: ClusterSpec;
  /** The program that runs a node. */
  readonly programOf: (node: PlannedNode) => ServerProgram;
  readonly endpoints: Readonly<Record<string, NodeEndpoint>>;
}

/**
 * Real servers as a declaration makes them: every line of their redis.conf comes from the library's own renderers, and
 * `reconcile` forms them, with the live settings that the component would watch.
 */
export class DeclaredCluster {
  goal: FormationGoal;
  history: History = { members: [], verified: false };
  #spec: ClusterSpec;
  readonly #programOf: DeclaredOptions["programOf"];
  readonly #root = mkdtempSync(join(tmpdir(), "prc-declared-"));
  readonly #servers = new Map<string, RunningServer>();

  private constructor({ spec, programOf, endpoints }: DeclaredOptions) {
    this.#spec = spec;
    this.#programOf = programOf;
    this.goal = goalOf(spec, endpoints);
  }

  /** Servers that run and know nobody yet. */
  static async start(options: DeclaredOptions): Promise<DeclaredCluster> {
    const cluster = new DeclaredCluster(options);
    try {
      await Promise.all(cluster.nodes.map(({ name }) => cluster.startNode(name)));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get spec(): ClusterSpec {
    return this.#spec;
  }

  get nodes(): PlannedNode[] {
    return this.goal.plan.shards.flatMap((s) => s.nodes);
  }

  /** Names of nodes whose server was started and not ended by us. */
  get running(): string[] {
    return [...this.#servers.keys()];
  }

  endpoint(name: string): NodeEndpoint {
    const endpoint = this.goal.endpoints[name];
    if (!endpoint) throw new Error(`no node ${name}`);
    return endpoint;
  }

  server(name: string): RunningServer {
    const server = this.#servers.get(name);
    if (!server) throw new Error(`${name} does not run`);
    return server;
  }

  /** A changed declaration of the same nodes; the next `reconcile` carries it out. */
  declare(change: Partial<ClusterSpec>): void {
    this.#spec = { ...this.#spec, ...change };
    this.goal = goalOf(this.#spec, this.goal.endpoints);
  }

  async reconcile(options: Partial<ReconcileOptions> = {}): Promise<Reconciled> {
    const result = await reconcile(this.goal, this.history, { access: {}, onProgress: () => {}, ...options });
    this.history = { members: result.members, verified: true };
    return result;
  }

  async observe(): Promise<ClusterObservation> {
    const connections = new Connections("test-observer");
    try {
      return await observe(this.goal, connections, this.history.members);
    } finally {
      connections.close();
    }
  }

  async layout(): Promise<ShardLayout[]> {
    return layoutOf(this.goal, await this.observe());
  }

  async startNode(name: string): Promise<void> {
    const node = this.nodes.find((n) => n.name === name);
    if (!node) throw new Error(`no node ${name}`);
    const endpoint = this.endpoint(name);
    const dir = join(this.#root, name);
    mkdirSync(dir, { recursive: true });
    const server = await startServer({
      server: this.#programOf(node),
      address: endpoint.address,
      port: endpoint.port,
      dir,
      // The live ones too, as in a node's first file; what was changed since is formation's to set.
      directives: allDirectives(mergeDirectives(clusterDirectives(this.#spec), endpointDirectives(endpoint))),
      timeoutMilliseconds: 30_000,
    });
    this.#servers.set(name, server);
  }

  /** kill -9 by default. The data folder stays. */
  async killNode(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const server = this.server(name);
    this.#servers.delete(name);
    await server.stop(signal);
  }

  connect(name: string, options: { readonly commandTimeout?: number } = {}): Redis {
    const { address, port } = this.endpoint(name);
    const client = new Redis({
      host: address,
      port,
      enableReadyCheck: false,
      retryStrategy: () => null,
      disableClientInfo: true,
      ...options,
    });
    client.on("error", () => {});
    return client;
  }

  /** One command to one node. */
  async call(name: string, command: string, ...args: (string | number)[]): Promise<unknown> {
    const client = this.connect(name);
    try {
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.running.map((name) => this.killNode(name)));
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function goalOf(spec: ClusterSpec, endpoints: FormationGoal["endpoints"]): FormationGoal {
  return {
    cluster: spec.name,
    engine: spec.engine,
    plan: place(spec),
    endpoints,
    settings: Object.fromEntries(
      clusterDirectives(spec).live.map(({ name, value }) => [name, normalizeSetting(name, value)]),
    ),
    nodeTimeoutMilliseconds: spec.nodeTimeoutMilliseconds,
  };
}
