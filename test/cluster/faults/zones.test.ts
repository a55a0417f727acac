import { setTimeout } from "node:timers/promises";
import { describe, expect, type TestContext, test } from "vitest";
import { assess } from "../../../components/formation/assess";
import { crowdedZones, viewSignature } from "../../../components/formation/layout";
import { answering } from "../../../components/formation/observation";
import type { DeclaredCluster } from "../../support/declared";
import { programFor, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import {
  keyOfShard,
  milliseconds,
  networkFor,
  stalledMilliseconds,
  startInZones,
  untilCovered,
} from "../../support/zones";

const ZONES = ["zone-a", "zone-b", "zone-c"];
const CASES: readonly [server: TestServerName, nodeTimeoutMilliseconds: number][] = process.env.FULL
  ? [
      ["redis-7.0", 1_000],
      ["redis-7.0", 2_000],
      ["redis-7.0", 5_000],
      ["redis-8.0", 2_000],
      ["valkey-8.1", 2_000],
      ["valkey-9.1", 2_000],
    ]
  : [["valkey-9.1", 2_000]];

describe.each(CASES)("three zones in networks of their own, %s, node timeout %i ms", (server, timeout) => {
  /** What is promised: slots and writes of a lost zone are back within this time of its loss. */
  const promised = 2 * timeout + 2_000;

  test("a zone cut off, then a zone killed: covered in time, healed to one view, leaders spread again", async (context) => {
    const network = await networkFor(context, { zones: ZONES, hostsPerZone: 2 });
    const program = await programFor(context, server);
    const cluster = await startInZones(context, network, program, { zones: ZONES, nodeTimeoutMilliseconds: timeout });
    await cluster.reconcile();

    await partition(context, cluster, network.partition.bind(network), network.heal.bind(network));
    await kill(context, cluster);
  });

  async function partition(
    context: TestContext,
    cluster: DeclaredCluster,
    cut: (zone: string) => void,
    heal: () => void,
  ): Promise<void> {
    const { zone, shard, leader, survivors } = await loss(cluster, "zone-a");
    const writer = new Writer(cluster, leader, keyOfShard(cluster, shard));
    await until("there are writes from before", () => writer.acknowledged > 20);
    const pids = cluster.running.map((name) => cluster.server(name).process.pid);
    const stalled = stalledMilliseconds(pids);

    const at = Date.now();
    cut(zone);
    const covered = (await untilCovered(cluster, survivors, shard)) - at;
    const waited = stalledMilliseconds(pids) - stalled;
    await until("the minority refuses writes", () => writer.refusedAt !== undefined);
    const acknowledged = writer.lastAt - at;
    const waitedBefore = stalledMilliseconds(pids) - stalled;
    await writer.end();

    const healed = Date.now();
    heal();
    await oneView(cluster);
    const view = Date.now() - healed;
    report(context, {
      fault: "partition",
      covered,
      promised,
      waited,
      lastWriteOfTheMinority: acknowledged,
      oneViewAfter: view,
    });
    expect(covered - waited).toBeLessThanOrEqual(promised);
    // A ping is sent after half a timeout without one, and missed after a whole one; the server looks ten times a second.
    expect(acknowledged - waitedBefore).toBeLessThanOrEqual(1.5 * timeout + 300);
    await spread(cluster);
  }

  async function kill(context: TestContext, cluster: DeclaredCluster): Promise<void> {
    const { shard, lost, survivors } = await loss(cluster, "zone-b");
    const pids = survivors.map((name) => cluster.server(name).process.pid);
    const stalled = stalledMilliseconds(pids);
    const at = Date.now();
    await Promise.all(lost.map((name) => cluster.killNode(name)));
    const covered = (await untilCovered(cluster, survivors, shard)) - at;
    const waited = stalledMilliseconds(pids) - stalled;
    const back = Date.now();
    await Promise.all(lost.map((name) => cluster.startNode(name)));
    await oneView(cluster);
    report(context, { fault: "killed", covered, promised, waited, oneViewAfter: Date.now() - back });
    expect(covered - waited).toBeLessThanOrEqual(promised);
    await spread(cluster);
  }
});

/** Who is lost with a zone that leads one shard, and who is not. */
async function loss(cluster: DeclaredCluster, zone: string) {
  const [led] = (await cluster.layout()).filter(({ leader }) => zoneOf(cluster, leader?.name) === zone);
  if (!led?.leader) throw new Error(`${zone} leads no shard`);
  const names = cluster.nodes.map((n) => n.name);
  const lost = names.filter((name) => zoneOf(cluster, name) === zone);
  const survivors = names.filter((name) => !lost.includes(name));
  return { zone, shard: led.planned.name, leader: led.leader.name, lost, survivors };
}

const zoneOf = (cluster: DeclaredCluster, name: string | undefined) => cluster.nodes.find((n) => n.name === name)?.zone;

/** Until every node has the same picture, doubts nobody, and every replica follows; nothing was done for that but to wait. */
async function oneView(cluster: DeclaredCluster): Promise<void> {
  await until("there is one view again", async () => {
    const observation = await cluster.observe();
    const nodes = answering(observation);
    const findings = assess(cluster.goal, cluster.history.members, observation);
    return (
      nodes.length === cluster.nodes.length &&
      new Set(nodes.map((n) => viewSignature(n))).size === 1 &&
      findings.every((f) => f.kind === "crowded-zone")
    );
  });
}

/** The failover has put two leaders into one zone; the next run spreads them, and finds nothing else to do. */
async function spread(cluster: DeclaredCluster): Promise<void> {
  expect(crowdedZones(cluster.goal, await cluster.layout())).toHaveLength(1);
  await cluster.reconcile();
  const layout = await cluster.layout();
  expect(crowdedZones(cluster.goal, layout)).toEqual([]);
  expect(new Set(layout.map(({ leader }) => zoneOf(cluster, leader?.name)))).toEqual(new Set(ZONES));
  expect(assess(cluster.goal, cluster.history.members, await cluster.observe())).toEqual([]);
}

/** Writes to one node, one after the other, and remembers by that node's clock when it took the last one. */
class Writer {
  acknowledged = 0;
  lastAt = 0;
  refusedAt: number | undefined;
  #ended = false;
  readonly #work: Promise<void>;

  constructor(cluster: DeclaredCluster, name: string, key: string) {
    this.#work = this.#write(cluster, name, key);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#work;
  }

  async #write(cluster: DeclaredCluster, name: string, key: string): Promise<void> {
    const client = cluster.connect(name);
    try {
      while (!this.#ended) {
        const [set, time] = (await client.pipeline().set(key, this.acknowledged).time().exec()) ?? [];
        const at = milliseconds(time?.[1]);
        if (set?.[1] === "OK") {
          this.acknowledged++;
          this.lastAt = at;
          this.refusedAt = undefined;
        } else this.refusedAt ??= at;
        await setTimeout(2);
      }
    } finally {
      client.disconnect();
    }
  }
}

/** Figures belong to the test's report; the assertions are on promises only. */
function report({ task }: TestContext, figures: Readonly<Record<string, number | string>>): void {
  const shown = Object.entries(figures).map(
    ([name, value]) => `${name} ${typeof value === "number" ? Math.round(value) : value}`,
  );
  process.stdout.write(`${task.suite?.name}: ${shown.join(", ")}\n`);
}
