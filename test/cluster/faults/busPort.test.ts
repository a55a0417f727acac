import { describe, expect, type TestContext, test } from "vitest";
import type { DeclaredCluster } from "../../support/declared";
import { failureOf, programFor } from "../../support/formation";
import type { Network } from "../../support/network";
import { BUS_PORT, networkFor, startInZones } from "../../support/zones";

/** A zone a node, so that whatever one node sends another passes the router. */
const ZONES = ["zone-a", "zone-b", "zone-c", "zone-d", "zone-e", "zone-f"];
const TIMEOUT = 1_000;

describe("a bus port that firewalls drop, while the client port answers", () => {
  test("in one direction or both: the node and its bus port are named, and nobody is changed", async (context) => {
    const { cluster, network } = await start(context);
    // The leader of a shard, then the replica of another.
    for (const [shard, index, alsoOutgoing] of [
      [1, 0, false],
      [2, 1, true],
    ] as const) {
      const name = cluster.goal.plan.shards[shard]?.nodes[index]?.name ?? "";
      const { address } = cluster.endpoint(name);
      network.drop({ to: address, port: BUS_PORT }, ...(alsoOutgoing ? [{ from: address, port: BUS_PORT }] : []));
      const before = await pictures(cluster);
      const failure = await failureOf(cluster.reconcile());
      expect(failure.refusals.map((r) => [r.kind, r.subject])).toEqual([["bus-port", name]]);
      expect(failure.message).toMatch(
        new RegExp(
          `nothing was changed, because\\s+bus port ${BUS_PORT} of ${name} at ${address} cannot be reached: from here no answer, and sessions-\\S+ has tried in vain\\s+→ open it between all nodes`,
        ),
      );
      expect(failure.members).toEqual([]);
      expect(await pictures(cluster)).toEqual(before);
      network.heal();
    }
    await cluster.reconcile();
  });

  test("for this machine alone: the nodes reach each other, and the cluster is formed", async (context) => {
    const { cluster, network } = await start(context);
    const name = cluster.goal.plan.shards[0]?.nodes[0]?.name ?? "";
    network.drop({ from: network.here, to: cluster.endpoint(name).address, port: BUS_PORT });
    const { layout } = await cluster.reconcile();
    expect(layout.map(({ leader, replicas }) => [leader?.name, replicas.length])).toEqual(
      cluster.goal.plan.shards.map(({ nodes }) => [nodes[0]?.name, 1]),
    );
    expect(await cluster.call(name, "CONFIG", "GET", "cluster-node-timeout")).toEqual([
      "cluster-node-timeout",
      String(TIMEOUT),
    ]);
  });

  test("for what one node sends, which shows only when nodes meet: it is named, and the next run goes on", async (context) => {
    const { cluster, network } = await start(context);
    const name = cluster.goal.plan.shards[2]?.nodes[0]?.name ?? "";
    network.drop({ from: cluster.endpoint(name).address, port: BUS_PORT });
    const failure = await failureOf(cluster.reconcile({ patienceMilliseconds: 5_000 }));
    expect(failure.message).toMatch(
      new RegExp(`→ ${name} reaches no other node's bus port \\(${BUS_PORT} of sessions-\\S+ at 198\\.`),
    );
    network.heal();
    cluster.history = { members: failure.members, verified: false };
    await cluster.reconcile();
  });
});

async function start(context: TestContext): Promise<{ cluster: DeclaredCluster; network: Network }> {
  const network = await networkFor(context, { zones: ZONES, hostsPerZone: 1 });
  const program = await programFor(context, "redis-7.0");
  const cluster = await startInZones(context, network, program, { zones: ZONES, nodeTimeoutMilliseconds: TIMEOUT });
  return { cluster, network };
}

/** All that formation could change, of every node. */
async function pictures(cluster: DeclaredCluster): Promise<unknown[]> {
  return Promise.all(
    cluster.nodes.map(async ({ name }) => {
      const nodes = String(await cluster.call(name, "CLUSTER", "NODES"));
      const fields = nodes
        .trim()
        .split("\n")
        .map((line) => line.split(" "));
      return {
        name,
        // Without times of pings and pongs.
        nodes: fields.map((f) => [...f.slice(0, 4), ...f.slice(6)]),
        keys: await cluster.call(name, "DBSIZE"),
        settings: await cluster.call(name, "CONFIG", "GET", "*"),
      };
    }),
  );
}
