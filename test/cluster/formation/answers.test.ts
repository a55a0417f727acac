import { describe, expect, test } from "vitest";
import { LOOK_AGAIN } from "../../../components/formation/execute";
import { programFor, TestCluster, until } from "../../support/formation";
import { TEST_SERVER_NAMES } from "../../support/servers";

/** Every answer that formation reads as "not now" or "done already", and those that must stop it, made by real servers. */
describe.each(TEST_SERVER_NAMES)("answers of %s", (name) => {
  test("are told apart as the executor tells them apart", { timeout: 60_000 }, async (context) => {
    const program = await programFor(context, name);
    const cluster = await TestCluster.start({
      program,
      masters: 3,
      replicas: 1,
      zones: 3,
      nodeTimeoutMilliseconds: 1_000,
    });
    context.onTestFinished(() => cluster.stop());
    const [first = "", follower = "", second = ""] = cluster.names;
    const nobody = "0".repeat(40);
    const ask = async (node: string, ...command: string[]) => String(await cluster.sendTo(node, command));
    const again = (step: keyof typeof LOOK_AGAIN, answer: string) => {
      expect(answer).toMatch(/^error: /);
      expect(answer, `${step}: ${answer}`).toMatch(LOOK_AGAIN[step] ?? /$^/);
    };
    const stop = (step: keyof typeof LOOK_AGAIN, answer: string) => {
      expect(answer).toMatch(/^error: /);
      expect(answer, `${step}: ${answer}`).not.toMatch(LOOK_AGAIN[step] ?? /$^/);
    };

    expect(await ask(follower, "CLUSTER", "SET-CONFIG-EPOCH", "77")).toBe("OK");
    again("setConfigEpoch", await ask(follower, "CLUSTER", "SET-CONFIG-EPOCH", "78"));
    stop("setConfigEpoch", await ask(second, "CLUSTER", "SET-CONFIG-EPOCH", "-1"));
    await cluster.sendTo(follower, ["CLUSTER", "RESET", "HARD"]);

    await cluster.reconcile();
    const idOf = (node: string) => ask(node, "CLUSTER", "MYID");
    again("setConfigEpoch", await ask(first, "CLUSTER", "SET-CONFIG-EPOCH", "5"));
    again("addSlotsRange", await ask(first, "CLUSTER", "ADDSLOTSRANGE", "0", "5460"));
    again("addSlotsRange", await ask(first, "CLUSTER", "ADDSLOTSRANGE", "16383", "16383"));
    stop("addSlotsRange", await ask(first, "CLUSTER", "ADDSLOTSRANGE", "0", "16384"));

    again("replicate", await ask(follower, "CLUSTER", "REPLICATE", nobody));
    again("replicate", await ask(cluster.names[3] ?? "", "CLUSTER", "REPLICATE", await idOf(follower)));
    stop("replicate", await ask(first, "CLUSTER", "REPLICATE", await idOf(second)));
    stop("replicate", await ask(follower, "CLUSTER", "REPLICATE", await idOf(follower)));

    again("forget", await ask(first, "CLUSTER", "FORGET", nobody));
    again("forget", await ask(follower, "CLUSTER", "FORGET", await idOf(first)));
    stop("forget", await ask(first, "CLUSTER", "FORGET", await idOf(first)));

    again("failover", await ask(first, "CLUSTER", "FAILOVER"));
    // Its replica may not follow a dead master by a graceful failover.
    await cluster.sendTo(follower, ["CONFIG", "SET", "cluster-replica-no-failover", "yes"]);
    await cluster.killNode(first);
    await until("the replica has lost its master", async () =>
      /master_link_status:down/.test(await ask(follower, "INFO", "replication")),
    );
    again("failover", await ask(follower, "CLUSTER", "FAILOVER"));
  });
});
