import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster, Redis } from "ioredis";
import type { TestContext } from "vitest";
import type { Access } from "../../components/access/types";
import type { FormationGoal, History, Member } from "../../components/formation/goal";
import type { ClusterObservation } from "../../components/formation/observation";
import { observe } from "../../components/formation/observe";
import {
  FormationFailed,
  type Reconciled,
  type ReconcileOptions,
  reconcile,
} from "../../components/formation/reconcile";
import { Connections } from "../../components/formation/wire";
import { keySlot } from "../../components/spec/keySlot";
import { place } from "../../components/topology/place";
import type { PlannedNode } from "../../components/topology/plan";
import { specOf } from "../unit/topology/support";
import { clusterClient, nodeClient, redisCliCheck } from "./clients";
import { MODE } from "./modes";
import { Security } from "./security";
import {
  freePort,
  ownAddresses,
  type RunningServer,
  type ServerProgram,
  startServer,
  type TestServerName,
  testServers,
} from "./servers";

export interface Shape {
  readonly masters: number;
  readonly replicas: number;
  readonly zones: number;
}

export interface ClusterOptions extends Shape {
  readonly program: ServerProgram;
  /** Programs that differ from the others', by index in the plan's order. */
  readonly programs?: Readonly<Record<number, ServerProgram>>;
  readonly nodeTimeoutMilliseconds?: number;
  /** Under TLS, and closed. Default: as the mode of this test run is. */
  readonly strict?: boolean;
  /** Nodes announce host names of this domain, which nobody can look up, and their certificates carry nothing else. */
  readonly domain?: string;
  /** More lines for a node's redis.conf, by index in the plan's order. */
  readonly lines?: (index: number) => string;
}

/** Real servers for every node of a plan, not formed yet; all data folders stay until `stop`. */
export class TestCluster {
  readonly goal: FormationGoal;
  readonly #options: ClusterOptions;
  readonly #root: string;
  readonly #servers = new Map<string, RunningServer>();
  readonly #security: Security | undefined;

  private constructor(options: ClusterOptions, goal: FormationGoal, root: string, security: Security | undefined) {
    this.#options = options;
    this.goal = goal;
    this.#root = root;
    this.#security = security;
  }

  /** Starts all of them, each on its zone's loopback address. */
  static async start(options: ClusterOptions): Promise<TestCluster> {
    const root = mkdtempSync(join(tmpdir(), "prc-cluster-"));
    const security = (options.strict ?? MODE.strict) ? await Security.shared() : undefined;
    const cluster = new TestCluster(options, await goalFor(options), root, security);
    try {
      await cluster.startAll();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get nodes(): PlannedNode[] {
    return this.goal.plan.shards.flatMap((s) => s.nodes);
  }

  /** How formation comes in. */
  get access(): Access {
    return this.#security?.access ?? {};
  }

  /** Arguments with which a MIGRATE that is sent by hand logs in. */
  get migrateAuth(): readonly string[] {
    return this.#security?.migrateAuth ?? [];
  }

  get names(): string[] {
    return this.nodes.map((n) => n.name);
  }

  endpoint(name: string) {
    const endpoint = this.goal.endpoints[name];
    if (!endpoint) throw new Error(`no node ${name}`);
    return endpoint;
  }

  server(name: string): RunningServer {
    const server = this.#servers.get(name);
    if (!server) throw new Error(`${name} does not run`);
    return server;
  }

  dir(name: string): string {
    return join(this.#root, name);
  }

  async startNode(name: string): Promise<void> {
    const index = this.names.indexOf(name);
    const { address, port, hostname } = this.endpoint(name);
    mkdirSync(this.dir(name), { recursive: true });
    const lines = [
      "cluster-enabled yes",
      "cluster-config-file nodes.conf",
      `cluster-node-timeout ${this.goal.nodeTimeoutMilliseconds}`,
      "cluster-require-full-coverage no",
      "cluster-allow-replica-migration no",
      "protected-mode no",
      "appendonly yes",
      "appendfsync everysec",
      'save ""',
      "repl-diskless-sync-delay 0",
      `bind ${address}`,
      // Loopback connections come from 127.0.0.1: without an announced address the others would take that one for it.
      `cluster-announce-ip ${address}`,
      ...(hostname === undefined ? [] : [`cluster-announce-hostname ${hostname}`]),
      this.#options.lines?.(index) ?? "",
    ];
    const program = this.#options.programs?.[index] ?? this.#options.program;
    const engine = { name: program.engine, version: program.version };
    const security = await this.#security?.forNode(name, address, engine, hostname);
    const server = await startServer({
      server: program,
      ...(security ? { security } : {}),
      address,
      port,
      dir: this.dir(name),
      conf: `${lines.join("\n")}\n`,
      timeoutMilliseconds: 30_000,
    });
    this.#servers.set(name, server);
  }

  async startAll(): Promise<void> {
    await Promise.all(this.names.filter((n) => !this.#servers.has(n)).map((n) => this.startNode(n)));
  }

  /** kill -9 by default. The data folder stays. */
  async killNode(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const server = this.server(name);
    this.#servers.delete(name);
    await server.stop(signal);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#servers.keys()].map((n) => this.killNode(n)));
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** The same nodes and data folders, to be started at other endpoints. Stop the old ones first. */
  async movedTo(endpoints: FormationGoal["endpoints"]): Promise<TestCluster> {
    const cluster = new TestCluster(this.#options, { ...this.goal, endpoints }, this.#root, this.#security);
    await cluster.startAll();
    return cluster;
  }

  /** All nodes as new: no keys, no slots, nobody known, settings as declared. */
  async blank(): Promise<void> {
    // Replicas do not take FLUSHALL; made masters by the reset, they do, and a second reset then finds nothing to refuse.
    await this.send(["CLUSTER", "RESET", "SOFT"]);
    await this.send(["FLUSHALL"]);
    await this.send(["CLUSTER", "RESET", "HARD"]);
    await this.send(["CONFIG", "SET", ...Object.entries(this.goal.settings).flat()]);
  }

  /** One command to every node, answers in the order of the plan; errors as their text. */
  send(command: readonly string[]): Promise<unknown[]> {
    return Promise.all(this.names.map((name) => this.sendTo(name, command)));
  }

  async sendTo(name: string, [command, ...args]: readonly string[]): Promise<unknown> {
    const client = this.connect(name);
    try {
      return await client.call(command ?? "", ...args);
    } catch (error) {
      return `error: ${error instanceof Error ? error.message : String(error)}`;
    } finally {
      client.disconnect();
    }
  }

  connect(name: string): Redis {
    const endpoint = this.endpoint(name);
    return nodeClient(endpoint, this.#security?.loginAt(endpoint.hostname));
  }

  /** An ordinary cluster client. */
  client(): Cluster {
    return clusterClient(Object.values(this.goal.endpoints), this.#security?.login, {
      clusterRetryStrategy: (attempt) => (attempt > 30 ? null : 100),
    });
  }

  reconcile(
    history: History = { members: [], verified: false },
    more: Partial<ReconcileOptions> & { goal?: FormationGoal } = {},
  ): Promise<Reconciled> {
    return reconcile(more.goal ?? this.goal, history, { access: this.access, onProgress: () => {}, ...more });
  }

  async observe(): Promise<ClusterObservation> {
    const connections = new Connections("test-observer", this.access);
    try {
      return await observe(this.goal, connections);
    } finally {
      connections.close();
    }
  }

  /** What `--cluster check` prints, asked from one node. */
  check(name: string): Promise<{ ok: boolean; text: string }> {
    return redisCliCheck(this.#options.program.cliPath ?? "redis-cli", this.endpoint(name), this.#security?.login);
  }

  /** Keys over all slots through their owners, by an ordinary cluster client. */
  async fill(count: number): Promise<void> {
    const client = this.client();
    try {
      await Promise.all(
        Array.from({ length: count }, (_, i) => client.set(`key:${i}`, `value ${i} in slot ${keySlot(`key:${i}`)}`)),
      );
      // Replicas have them, and they are on disk, before anybody is killed.
      for (const node of client.nodes("master"))
        await node.call("WAITAOF", "1", "0", "5000").catch(() => node.wait(1, 5000));
    } finally {
      client.disconnect();
    }
  }

  /** Numbers of keys that are gone or wrong. */
  async missing(count: number): Promise<number[]> {
    const client = this.client();
    try {
      const values = await Promise.all(Array.from({ length: count }, (_, i) => client.get(`key:${i}`)));
      return values.flatMap((value, i) => (value === `value ${i} in slot ${keySlot(`key:${i}`)}` ? [] : [i]));
    } finally {
      client.disconnect();
    }
  }
}

/** A goal for this shape at free ports of loopback addresses, one address a zone. */
export async function goalFor(options: ClusterOptions): Promise<FormationGoal> {
  const { masters, replicas, zones, program, nodeTimeoutMilliseconds = 5_000 } = options;
  const spec = specOf(masters, replicas, zones, {
    engine: { name: program.engine, version: program.version },
    nodeTimeoutMilliseconds,
  });
  const plan = place(spec);
  return {
    cluster: spec.name,
    engine: spec.engine,
    plan,
    endpoints: named(
      await freeEndpoints(
        plan.shards.flatMap((s) => s.nodes),
        plan.zones,
      ),
      options.domain,
    ),
    settings: { "cluster-node-timeout": String(nodeTimeoutMilliseconds), "maxmemory-policy": "noeviction" },
    nodeTimeoutMilliseconds,
  };
}

function named(endpoints: FormationGoal["endpoints"], domain: string | undefined): FormationGoal["endpoints"] {
  if (domain === undefined) return endpoints;
  return Object.fromEntries(
    Object.entries(endpoints).map(([name, endpoint]) => [name, { ...endpoint, hostname: `${name}.${domain}` }]),
  );
}

export async function freeEndpoints(
  nodes: readonly PlannedNode[],
  zones: readonly string[],
): Promise<FormationGoal["endpoints"]> {
  const endpoints: Record<string, { address: string; port: number; busPort: number }> = {};
  const taken = new Set<string>();
  const addressOf = ownAddresses();
  for (const { name, zone } of nodes) {
    const address = addressOf(zones.indexOf(zone));
    let port = await freePort(address);
    while (taken.has(`${address}:${port}`)) port = await freePort(address);
    taken.add(`${address}:${port}`);
    endpoints[name] = { address, port, busPort: port + 10_000 };
  }
  return endpoints;
}

/** Waits for a condition, looking often; the limit is only there to end a test that would hang. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  limitMilliseconds = 90_000,
): Promise<void> {
  const end = Date.now() + limitMilliseconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${limitMilliseconds} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Everything that `work` makes these nodes receive, by MONITOR: lower-case command with its subcommand, per node. */
export async function monitored(cluster: TestCluster, work: () => Promise<unknown>): Promise<Map<string, string[]>> {
  const seen = new Map<string, string[]>();
  const monitors = await Promise.all(
    cluster.names.map(async (name) => {
      const lines: string[] = [];
      seen.set(name, lines);
      const monitor = await cluster.connect(name).monitor();
      monitor.on("monitor", (_time: string, args: string[]) => lines.push(args.join(" ")));
      return { name, monitor };
    }),
  );
  await work();
  // MONITOR shows commands in order: once this one is seen, all before it were.
  const end = `end-of-monitor-${Math.random()}`;
  await cluster.send(["ECHO", end]);
  await until("every MONITOR has caught up", () =>
    cluster.names.every((name) => seen.get(name)?.some((line) => line.includes(end))),
  );
  for (const { monitor } of monitors) monitor.disconnect();
  return new Map([...seen].map(([name, lines]) => [name, lines.filter((line) => !line.includes(end))]));
}

/** Everything about the nodes that formation could change, without what changes by itself (times, link states). */
export async function fingerprint(cluster: TestCluster): Promise<Record<string, unknown>> {
  const entries = await Promise.all(
    cluster.names.map(async (name) => {
      const [nodes, keys, config] = await Promise.all([
        cluster.sendTo(name, ["CLUSTER", "NODES"]),
        cluster.sendTo(name, ["DBSIZE"]),
        cluster.sendTo(name, ["CONFIG", "GET", "*"]),
      ]);
      const lines = String(nodes)
        .split("\n")
        .map((line) =>
          line
            .split(" ")
            .filter((_, i) => i !== 4 && i !== 5 && i !== 7)
            .join(" "),
        )
        .sort();
      return [name, { lines, keys, config }] as const;
    }),
  );
  return Object.fromEntries(entries);
}

/** How often each command was called on each node since it started: `cluster|meet` → 3. MONITOR hides administrative ones; this does not. */
export async function callsOf(cluster: TestCluster): Promise<Map<string, Map<string, number>>> {
  const counts = new Map<string, Map<string, number>>();
  await Promise.all(
    cluster.names.map(async (name) => {
      const text = String(await cluster.sendTo(name, ["INFO", "commandstats"]));
      counts.set(
        name,
        new Map([...text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map((m) => [m[1] ?? "", Number(m[2])])),
      );
    }),
  );
  return counts;
}

/** Commands called on each node while `work` ran, by name, sorted. */
export async function callsDuring(cluster: TestCluster, work: () => Promise<unknown>): Promise<Map<string, string[]>> {
  const before = await callsOf(cluster);
  await work();
  const after = await callsOf(cluster);
  return new Map(
    [...after].map(([name, calls]) => [
      name,
      [...calls]
        .filter(([command, n]) => n > (before.get(name)?.get(command) ?? 0))
        .map(([command]) => command)
        .sort(),
    ]),
  );
}

/** The failure of a run that is expected to fail. */
export async function failureOf(work: Promise<unknown>): Promise<FormationFailed> {
  try {
    await work;
  } catch (error) {
    if (error instanceof FormationFailed) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

/** One of the tests' servers; where there are none, the test is skipped (in CI their absence is an error). */
export async function programFor({ skip }: TestContext, name: TestServerName): Promise<ServerProgram> {
  const programs = await testServers();
  return programs?.[name] ?? skip("no servers here");
}

/** Three masters with a replica each in three zones, verified, with keys in it; it ends with the test. */
export async function formedCluster(
  context: TestContext,
  server: TestServerName,
  keys: number,
): Promise<{ cluster: TestCluster; members: readonly Member[] }> {
  const cluster = await TestCluster.start({
    program: await programFor(context, server),
    masters: 3,
    replicas: 1,
    zones: 3,
    nodeTimeoutMilliseconds: 2_000,
  });
  context.onTestFinished(() => cluster.stop());
  const { members } = await cluster.reconcile();
  await cluster.fill(keys);
  return { cluster, members };
}
