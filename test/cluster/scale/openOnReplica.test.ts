import { expect, test } from "vitest";
import { programFor, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster } from "./support";

const SLOT = 7;
const SERVERS: readonly TestServerName[] = process.env.FULL ? ["valkey-8.1", "valkey-9.1"] : ["valkey-8.1"];

test.for(SERVERS)(
  "%s: a replica that was away while its master closed a slot has it open still; its master closes it once more",
  { timeout: 120_000 },
  async (server, context) => {
    const cluster = await ChangingCluster.start(
      await programFor(context, server),
      { masters: 3, replicas: 1, zones: 3 },
      { nodeTimeoutMilliseconds: 2_000 },
    );
    context.onTestFinished(() => cluster.stop());
    const [source = "", target = ""] = await cluster.leaders();
    const replica = cluster.goal.plan.shards[0]?.nodes.find((n) => n.name !== source)?.name ?? "";
    const isOpen = async () => /\[7-/.test(String(await cluster.call(replica, "CLUSTER", "NODES")));
    await cluster.call(
      source,
      "CLUSTER",
      "SETSLOT",
      SLOT,
      "MIGRATING",
      String(await cluster.call(target, "CLUSTER", "MYID")),
    );
    await until("the replica has heard of it", isOpen);
    await cluster.killNode(replica);
    await cluster.call(source, "CLUSTER", "SETSLOT", SLOT, "STABLE");
    await cluster.startNode(replica);
    await until("it is in sync", async () =>
      /master_link_status:up/.test(String(await cluster.call(replica, "INFO", "replication"))),
    );
    expect(await isOpen()).toBe(true);

    await cluster.reconcile();

    expect([await isOpen(), await cluster.faults()]).toEqual([false, []]);
  },
);
