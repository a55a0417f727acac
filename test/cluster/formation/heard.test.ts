import { expect, test, vi } from "vitest";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { execute } from "../../../components/formation/execute";
import { listenersOf, unheard } from "../../../components/formation/heard";
import { Connections } from "../../../components/formation/wire";
import { programFor, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster } from "../scale/support";

// A server that reads a ping from before a failover after it, and does not know the one who sent it any better, follows a chain of replicas
// for ever (`components/formation/heard.ts`). Such pings are those on new links, so leadership does not pass while there are any.

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-8.0"];
const MASTERS = 3;
const SHAPE = { masters: MASTERS, replicas: 1, zones: 3 };

test.for(SERVERS)(
  "%s: leadership passes only once a server that has just started has heard of all others, and they of it",
  { timeout: 120_000 },
  async (server, context) => {
    const program = await programFor(context, server);
    const cluster = await ChangingCluster.start(program, SHAPE, { nodeTimeoutMilliseconds: 1_000 });
    context.onTestFinished(() => cluster.stop());
    const connections = cluster.connections();
    context.onTestFinished(() => connections.close());
    const seen: { pairs: number; unheard: readonly unknown[] }[] = [];
    const send = Connections.prototype.send;
    const spy = vi.spyOn(Connections.prototype, "send").mockImplementation(async function (
      this: Connections,
      to,
      commands,
      options,
    ) {
      if (commands.some(([name, what]) => name === "CLUSTER" && what === "FAILOVER")) {
        const listeners = await listenersOf(to, connections, 3_000);
        seen.push({ pairs: listeners.length * (listeners.length - 1), unheard: unheard(listeners) });
      }
      return send.call(this, to, commands, options);
    });
    context.onTestFinished(() => spy.mockRestore());
    let newcomers = 0;
    // Once a shard: voters do not replace the same leader again within two node timeouts.
    for (let shard = 0; shard < MASTERS; shard++) {
      const leaders = await cluster.leaders();
      const [leader = "", other = ""] = [leaders[shard], leaders[(shard + 1) % MASTERS]];
      const replicaOf = (name: string) => {
        const its = cluster.goal.plan.shards.find(({ nodes }) => nodes.some((n) => n.name === name));
        return its?.nodes.find((n) => n.name !== name)?.name ?? "";
      };
      const [heir, restarted] = [replicaOf(leader), replicaOf(other)];
      await cluster.killNode(restarted);
      // Also where the heir does not yet believe that it is back.
      if (shard > 0)
        await until("the heir calls it failed", async () =>
          parseClusterNodes(String(await cluster.call(heir, "CLUSTER", "NODES"))).some((e) => e.health === "fail"),
        );
      await cluster.startNode(restarted);
      if (unheard(await listenersOf(cluster.endpoint(heir), connections, 3_000)).length > 0) newcomers++;
      await execute(
        [{ do: "failover", node: heir, shard: "", from: leader }],
        { endpoints: cluster.goal.endpoints, masters: [], stopReason: () => undefined },
        connections,
      );
      expect(await cluster.call(heir, "ROLE")).toContain("master");
    }
    const [nodes, pairs] = [2 * MASTERS, 2 * MASTERS * (2 * MASTERS - 1)];
    expect([cluster.names.length, seen]).toEqual([nodes, Array(MASTERS).fill({ pairs, unheard: [] })]);
    // Else this has shown nothing: a server answers before it has links.
    expect(newcomers).toBeGreaterThan(0);
  },
);
