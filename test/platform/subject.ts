import { expect } from "vitest";
import type { InventoryNode } from "../../components/cluster/inventory";
import type { Command, EngineName, RunResult } from "../engine/workspace";
import { CheckedLoad, type LoadOptions } from "../load/load";
import { loginOf } from "../support/clients";
import { until } from "../support/formation";
import type { Project, Victim } from "../support/project";
import type { TestServerName } from "../support/servers";
import type { ClusterUnderTest, PlatformUnderTest } from "./platform";

/** Sooner than by default, so that what a test kills is noticed in time. */
const COMMON = { nodeTimeoutMilliseconds: 2_000, dataOnDestroy: "delete" };
const SLOTS = 16_384;
/** Acknowledgements that were under way when a fault began, or when it was mended. */
const SLACK_MILLISECONDS = 500;
const KEYS_AT_ONCE = 100;

export const UNCHANGED = /Resources:\n +\d+ unchanged\n/;

/** What a cluster is tested on. */
export interface Setting {
  readonly platform: PlatformUnderTest;
  readonly engine: EngineName;
  /** The one that nodes run. */
  readonly server: TestServerName;
}

/** A cluster that is tested: declared, carried out, and looked at through connections of the test's own, under a load that remembers what it wrote. */
export class Subject {
  readonly platform: PlatformUnderTest;
  readonly cluster: ClusterUnderTest;
  /** What its runs printed. */
  readonly printed: string[] = [];
  #declared: Readonly<Record<string, unknown>>;
  #load: CheckedLoad | undefined;

  private constructor(
    platform: PlatformUnderTest,
    cluster: ClusterUnderTest,
    declared: Readonly<Record<string, unknown>>,
  ) {
    this.platform = platform;
    this.cluster = cluster;
    this.#declared = declared;
  }

  /** Not yet up. */
  static async create({ platform, engine, server }: Setting, args: object = {}): Promise<Subject> {
    const declared = { ...COMMON, ...platform.argsFor(server), ...args };
    return new Subject(platform, await platform.create(declared, engine), declared);
  }

  get project(): Project {
    return this.cluster.project;
  }

  get load(): CheckedLoad {
    if (!this.#load) throw new Error("there is no load yet");
    return this.#load;
  }

  async startLoad(options: LoadOptions = {}): Promise<void> {
    const login = loginOf(await this.project.credentials());
    this.#load = await CheckedLoad.start(await this.project.nodes(), { login, ...options });
  }

  async dispose(): Promise<void> {
    this.#load?.close();
    await this.cluster.dispose();
  }

  /** Changes the declaration by these arguments; one that is undefined is taken back. */
  declare(changes: Readonly<Record<string, unknown>>): void {
    this.#declared = { ...this.#declared, ...changes };
    this.project.declare(this.#declared);
  }

  async preview(): Promise<RunResult> {
    return this.#noted(await this.project.engine.preview());
  }

  /** A run that may fail. */
  async up(flags: readonly string[] = []): Promise<RunResult> {
    return this.#noted(await this.project.up({ flags }));
  }

  /** Carried out, and whole afterwards. @returns what it printed */
  async mustUp(): Promise<string> {
    const { ok, stdout, stderr } = await this.up();
    expect(ok, ok ? "" : `${stdout}\n${stderr}\n${await this.cluster.told().catch(String)}`).toBe(true);
    await this.expectWhole();
    return stdout;
  }

  /** @throws Error with what it printed, where it failed */
  async mustDestroy(): Promise<void> {
    const { ok, stdout, stderr } = this.#noted(await this.project.engine.destroy());
    expect(ok, `${stdout}\n${stderr}`).toBe(true);
  }

  /** Where each node is, by its name. */
  async places(): Promise<Record<string, string>> {
    return Object.fromEntries(
      (await this.project.nodes()).map(({ name, address, port }) => [name, `${address}:${port}`]),
    );
  }

  /** Of one role, as it says itself: what the outputs say is of the last change. */
  async aNode(role: "master" | "replica", shard?: number): Promise<InventoryNode> {
    const { shards } = await this.project.inventory();
    for (const node of (shard === undefined ? shards : shards.slice(shard, shard + 1)).flatMap(({ nodes }) => nodes)) {
      const [says] = (await this.project.ask(node, "ROLE")) as [string];
      if ((says === "master") === (role === "master")) return node;
    }
    throw new Error(`there is no ${role}`);
  }

  /** Every node says that all slots are served, one leader a shard, the same ones as the others say; and each has one machine. */
  async expectWhole(): Promise<void> {
    const { verifiedAt, shards } = await this.project.inventory();
    expect(verifiedAt).toMatch(/^\d{4}-\d\d-\d\dT/);
    const nodes = shards.flatMap((shard) => shard.nodes);
    const shardOf = new Map(shards.flatMap((shard) => shard.nodes.map(({ id }) => [id, shard.name] as const)));
    const views = await Promise.all(nodes.map((node) => this.#viewOf(node)));
    const wanted = { state: "ok", known: nodes.length, slots: SLOTS, leaders: views[0]?.leaders };
    expect(views).toEqual(nodes.map(({ name }) => ({ name, ...wanted })));
    expect(views[0]?.leaders.map((id) => shardOf.get(id)).sort()).toEqual(shards.map(({ name }) => name).sort());
    expect([...(await this.cluster.machines()).keys()].sort()).toEqual(nodes.map(({ name }) => name).sort());
    expect((await this.cluster.left()).machines).toBe(nodes.length);
  }

  /** What one node says of the cluster. */
  async #viewOf(node: InventoryNode) {
    return this.project.withNode(node, async (client) => {
      const info = String(await client.cluster("INFO"));
      const ranges = (await client.call("CLUSTER", "SLOTS")) as [number, number, [string, number, string]][];
      return {
        name: node.name,
        state: /cluster_state:(\w+)/.exec(info)?.[1],
        known: Number(/cluster_known_nodes:(\d+)/.exec(info)?.[1]),
        slots: ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0),
        leaders: [...new Set(ranges.map(([, , [, , id]]) => id))].sort(),
      };
    });
  }

  /** Each node has this setting. */
  async expectSetting(name: string, value: string): Promise<void> {
    for (const node of await this.project.nodes())
      expect([node.name, await this.project.ask(node, "CONFIG", "GET", name)]).toEqual([node.name, [name, value]]);
  }

  /** A planned change: nobody is told of an error meanwhile, and every key is as it was written. @returns what it printed */
  async change(step: string, changes: Readonly<Record<string, unknown>>): Promise<string> {
    this.declare(changes);
    return this.unharmed(step, () => this.mustUp());
  }

  /** The same of anything else that is not to be noticed by clients. */
  async unharmed<T>(step: string, work: () => Promise<T>): Promise<T> {
    const before = this.load.errors.length;
    const result = await this.load.during(step, work);
    expect([step, await this.load.audit(), this.load.errors.slice(before)]).toEqual([step, [], []]);
    return result;
  }

  /** A fault that `up` mends, each node where it was; what clients were told meanwhile is theirs to know. @returns what it printed */
  async mended(fault: () => Promise<void>): Promise<string> {
    const before = await this.places();
    // Acknowledged by a leader that took it along; whoever reads meanwhile finds out.
    const window = { from: Date.now() - SLACK_MILLISECONDS, to: Number.POSITIVE_INFINITY };
    this.load.allowLoss(window);
    let printed: string;
    try {
      await fault();
      printed = await this.mustUp();
    } finally {
      window.to = Date.now() + SLACK_MILLISECONDS;
    }
    expect(await this.places()).toEqual(before);
    expect(await this.load.audit()).toEqual([]);
    return printed;
  }

  /** A run that is killed when it has printed a line so many times, and whose stack is unlocked then. */
  async killed(pattern: RegExp, times: number, victim: Victim, command: Command = "up"): Promise<void> {
    const run = await this.project.start(command);
    try {
      await run.until(pattern, times);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await this.cluster.told().catch(String)}`);
    }
    run.kill(victim);
    this.#noted(await run.result);
    await this.project.workersGone();
    await this.project.engine.command(["cancel"]);
  }

  /** What differs from the declaration, as a refresh finds it. */
  async issues(): Promise<readonly string[]> {
    const { ok, stdout, stderr } = this.#noted(await this.project.engine.refresh());
    expect(ok, `${stdout}\n${stderr}`).toBe(true);
    const { resources = [] } = (await this.project.engine.exportStack()).deployment;
    const formation = resources.find(({ type }) => /ClusterFormation/.test(String(type)));
    return (formation?.outputs as { readonly issues?: readonly string[] } | undefined)?.issues ?? [];
  }

  /** Until a replica has a link to the node that it follows. */
  async linked(replica: InventoryNode): Promise<void> {
    await until(`${replica.name} is linked`, async () =>
      /master_link_status:up/.test(String(await this.project.ask(replica, "INFO", "replication"))),
    );
  }

  /** What the load wrote, read once more by a client that knows nothing of before. @returns what is wrong */
  async wrongAfterwards(): Promise<readonly string[]> {
    const { ledger } = this.load;
    const client = await this.project.cluster();
    try {
      const keys = ledger.keys.filter((key) => !key.includes(" "));
      for (let at = 0; at < keys.length; at += KEYS_AT_ONCE)
        await Promise.all(
          keys.slice(at, at + KEYS_AT_ONCE).map(async (key) => {
            const asked = Date.now();
            ledger.compare(key, await client.get(key), asked);
          }),
        );
    } finally {
      client.disconnect();
    }
    return ledger.wrong;
  }

  #noted(result: RunResult): RunResult {
    this.printed.push(result.stdout, result.stderr);
    return result;
  }
}
