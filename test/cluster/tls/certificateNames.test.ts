import { describe, expect, test } from "vitest";
import { guardRunner } from "../../../components/formation/runner/guard";
import { programFor, TestCluster, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { guardInputs } from "../formation/support";

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];

// Whoever is only known from what others say of it is reached at its address, and has to prove its name.
describe.each(SERVERS)("certificates of %s that carry host names, and no address", (server) => {
  test("a cluster is formed, and guards hand over, let go and come back", { timeout: 120_000 }, async (context) => {
    const cluster = await TestCluster.start({
      program: await programFor(context, server),
      masters: 3,
      replicas: 1,
      zones: 3,
      nodeTimeoutMilliseconds: 2_000,
      strict: true,
      domain: "nodes.example.net",
    });
    context.onTestFinished(() => cluster.stop());
    const { members } = await cluster.reconcile();
    const [master = "", replica = ""] = cluster.names;
    await guardRunner.delete("guard", guardInputs(cluster, master));
    await until("its replica leads", async () => String(await cluster.sendTo(replica, ["ROLE"])).startsWith("master"));
    await cluster.killNode(master);
    await cluster.startNode(master);
    await guardRunner.create(guardInputs(cluster, master));
    await guardRunner.delete("guard", guardInputs(cluster, master));
    expect((await cluster.reconcile({ members, verified: true })).members).toEqual(members);
  });
});
