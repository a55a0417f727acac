import { describe, expect, test } from "vitest";
import { observe } from "../../../components/formation/observe";
import { planMoves } from "../../../components/formation/rebalance";
import { countSlots, SLOT_COUNT } from "../../../components/formation/slots";
import { failureOf, programFor } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster } from "./support";

/** One that moves key by key, and one that would hand slots over atomically if nothing were declared. */
const SERVERS: readonly TestServerName[] = ["redis-7.0", "valkey-9.1"];
const THREE = { masters: 3, replicas: 0, zones: 3 };
const FOUR = { ...THREE, masters: 4 };
const KEYS = 8_000;

async function filled(cluster: ChangingCluster): Promise<void> {
  const client = cluster.client();
  await Promise.all(Array.from({ length: KEYS }, (_, i) => client.set(`key:${i}`, `value ${i}`)));
  client.disconnect();
}

async function wrongKeys(cluster: ChangingCluster): Promise<string[]> {
  const client = cluster.client();
  const values = await Promise.all(Array.from({ length: KEYS }, (_, i) => client.get(`key:${i}`)));
  client.disconnect();
  return values.flatMap((value, i) => (value === `value ${i}` ? [] : [`key:${i} is ${value}`]));
}

/** Slots that are yet to move, and what nodes own and have open. */
async function standing(cluster: ChangingCluster): Promise<{ left: number; owned: number; open: number }> {
  const connections = cluster.connections();
  try {
    const observation = await observe(cluster.goal, connections);
    const entries = observation.nodes.flatMap((n) => (n.answering ? n.view.filter((e) => e.myself) : []));
    return {
      left: planMoves(cluster.goal, observation).reduce((sum, m) => sum + countSlots(m.slots), 0),
      owned: entries.reduce((sum, e) => sum + countSlots(e.slots), 0),
      open: entries.reduce((sum, e) => sum + e.openSlots.length, 0),
    };
  } finally {
    connections.close();
  }
}

describe.each(SERVERS)("bounds of moves on %s", (server) => {
  test("a rate holds for all pairs together; progress tells slots, keys, bytes, rates and the time left", async (context) => {
    const cluster = await ChangingCluster.start(await programFor(context, server), THREE);
    context.onTestFinished(() => cluster.stop());
    await filled(cluster);
    const lines: { at: number; line: string }[] = [];
    const maxKeysPerSecond = 600;
    await cluster.become(FOUR, {
      migration: { maxKeysPerSecond },
      onProgress: (line) => lines.push({ at: Date.now(), line }),
    });
    expect(await cluster.faults()).toEqual([]);
    expect(await wrongKeys(cluster)).toEqual([]);
    const moved = lines.flatMap(({ at, line }) => {
      const [, keys] = /^moved [\d,]+ of [\d,]+ slots · ([\d,]+) of [\d,]+ keys/.exec(line) ?? [];
      return keys === undefined ? [] : [{ at, line, keys: Number(keys.replaceAll(",", "")) }];
    });
    const [first, last] = [moved[0], moved.at(-1)];
    if (!first || !last) throw new Error(`no progress was told: ${lines.map(({ line }) => line).join("\n")}`);
    // A quarter of the keys, at this rate, takes rounds; turns that were taken at a round's end may fall into the next.
    expect(moved.length).toBeGreaterThan(1);
    const rate = (last.keys - first.keys) / ((last.at - first.at) / 1000);
    console.log(`${server}: ${Math.round(rate)} keys/s where ${maxKeysPerSecond} are declared; ${first.line}`);
    expect(rate).toBeLessThanOrEqual(maxKeysPerSecond * 1.3);
    expect(first.line).toMatch(
      /^moved [\d,]+ of 4,096 slots · [\d,]+ of [\d,]+ keys · [\d.]+(kb|mb) of [\d.]+(kb|mb) · [\d,]+ keys\/s · [\d.]+(kb|mb| bytes)\/s · about \d+ s left$/,
    );
  });

  test("stopped in time: no slot is open, what is left is told, nobody is forgotten, and the next run goes on", async (context) => {
    const cluster = await ChangingCluster.start(await programFor(context, server), THREE);
    context.onTestFinished(() => cluster.stop());
    await filled(cluster);
    await cluster.declare(FOUR);
    const until = new Date(Date.now() + 4_000).toISOString();
    const failure = await failureOf(cluster.reconcile({ migration: { maxKeysPerSecond: 250, until } }));
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(until));
    const stopped = await standing(cluster);
    expect(stopped).toMatchObject({ owned: SLOT_COUNT, open: 0 });
    // 2,000 keys at 250 a second: it cannot have come to its end.
    expect(stopped.left).toBeGreaterThan(0);
    const [first = ""] = failure.message.split("\n");
    expect(first).toContain(`as \`migration.until\` ("${until}": ${until}) asks, and none is open: `);
    expect(first).toContain(`; left are ${stopped.left.toLocaleString("en-US")} slots with about `);
    expect(failure.message).toMatch(/ → .*: [\d,]+ slots, about [\d,]+ keys/);
    expect(failure.message).toMatch(/run `up` again to go on/);
    expect(failure.members.map((m) => m.name).sort()).toEqual([...cluster.names].sort());
    expect(await wrongKeys(cluster)).toEqual([]);

    // The same time once more: nothing moves.
    cluster.history = { members: failure.members, verified: true };
    const again = await failureOf(cluster.reconcile({ migration: { until } }));
    expect(again.message).toContain("no slot moved in this run");
    expect(await standing(cluster)).toEqual(stopped);

    await cluster.reconcile();
    expect([await cluster.faults(), await wrongKeys(cluster)]).toEqual([[], []]);
  });

  test("slots that were left open are finished, whatever the time", async (context) => {
    const cluster = await ChangingCluster.start(await programFor(context, server), THREE);
    context.onTestFinished(() => cluster.stop());
    await filled(cluster);
    const [to = "", from = ""] = await cluster.leaders();
    const id = async (name: string) => String(await cluster.call(name, "CLUSTER", "MYID"));
    const slot = Number(
      / connected (\d+)-/.exec(
        String(await cluster.call(from, "CLUSTER", "NODES"))
          .split("\n")
          .find((l) => l.includes("myself")) ?? "",
      )?.[1],
    );
    await cluster.call(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", await id(from));
    await cluster.call(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", await id(to));
    expect(await standing(cluster)).toMatchObject({ open: 2 });
    // The second shard has the odd slot; handing it to the first leaves nothing else to move.
    await cluster.reconcile({ migration: { until: new Date(Date.now() - 1_000).toISOString() } });
    expect([await standing(cluster), await cluster.faults()]).toEqual([{ left: 0, owned: SLOT_COUNT, open: 0 }, []]);
    expect(await wrongKeys(cluster)).toEqual([]);
  });
});
