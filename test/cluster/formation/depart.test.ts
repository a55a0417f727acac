import { mkdirSync, rmSync } from "node:fs";
import { describe, expect, type TestContext, test } from "vitest";
import { type GuardInputs, guardRunner } from "../../../components/formation/runner/guard";
import { markDismantled } from "../../../components/formation/runner/knowledge";
import { type ClusterOptions, programFor, TestCluster, until } from "../../support/formation";
import { guardInputs } from "./support";

const IN_MEMORY = { lines: () => "appendonly no" };
const KEYS = 50;

/** A cluster whose formation was destroyed already, by this command. */
let number = 0;
async function going(context: TestContext, options: Partial<ClusterOptions> = {}) {
  const cluster = await TestCluster.start({
    ...{ masters: 3, replicas: 1, zones: 3, nodeTimeoutMilliseconds: 2_000 },
    program: await programFor(context, "redis-7.0"),
    ...options,
  });
  context.onTestFinished(() => cluster.stop());
  await cluster.reconcile();
  await cluster.fill(KEYS);
  const name = `going-${number++}`;
  markDismantled(name);
  const [leader = "", replica = ""] = cluster.names;
  const go = (node: string, more: Partial<GuardInputs> = {}) =>
    guardRunner.delete("guard", guardInputs(cluster, node, { cluster: name, onDisk: true, ...more }));
  return { cluster, leader, replica, go };
}

const roleOf = async (cluster: TestCluster, node: string) => String(await cluster.sendTo(node, ["ROLE"])).split(",")[0];

describe.concurrent("a machine that goes with its whole cluster", { timeout: 120_000 }, () => {
  test.for(["keep", "delete"])(
    "hands its slots over where a replica is there (%s), and goes where none is",
    async (dataOnDestroy, context) => {
      const { cluster, leader, replica, go } = await going(context);
      await go(leader, { dataOnDestroy });
      expect(await roleOf(cluster, replica)).toBe("master");
      await cluster.killNode(leader);
      expect(await cluster.missing(KEYS)).toEqual([]);
      await go(replica, { dataOnDestroy });
      expect(await roleOf(cluster, replica)).toBe("master");
    },
  );

  test("waits for a replica that has just lost its link", async (context) => {
    const { cluster, leader, replica, go } = await going(context);
    await cluster.sendTo(leader, ["CLIENT", "KILL", "TYPE", "replica"]);
    await go(leader);
    expect(await roleOf(cluster, replica)).toBe("master");
    expect(await cluster.missing(KEYS)).toEqual([]);
  });

  test("stays where keys are in memory alone, unless that was agreed to", async (context) => {
    const { cluster, leader, replica, go } = await going(context, IN_MEMORY);
    for (const node of [replica, leader])
      await expect(go(node, { onDisk: false })).rejects.toThrow(
        /holds \d+ keys in memory only \(no persistence\)\. It stays\. `dataOnDestroy` is "keep": declare "delete"/,
      );
    expect(await roleOf(cluster, leader)).toBe("master");
    await go(leader, { onDisk: false, dataOnDestroy: "delete" });
    expect(await roleOf(cluster, replica)).toBe("master");
    await cluster.killNode(leader);
    await cluster.killNode(replica);
    // Nobody listens there any more, so nothing is left to lose.
    await go(replica, { onDisk: false });
  });

  test.for(["stands still", "refuses the login"])(
    "that %s may hold keys all the same: it stays, unless its data are on disk",
    async (how, context) => {
      const { cluster, leader, go } = await going(context, IN_MEMORY);
      const pid = Number(/process_id:(\d+)/.exec(String(await cluster.sendTo(leader, ["INFO", "server"])))?.[1]);
      const access = how === "stands still" ? {} : { access: { ...cluster.access, password: "of-yesterday" } };
      if (how === "stands still") process.kill(pid, "SIGSTOP");
      else await cluster.sendTo(leader, ["CONFIG", "SET", "requirepass", "of-today"]);
      try {
        await expect(go(leader, { onDisk: false, ...access })).rejects.toThrow(
          /does not answer \(.*\), and may hold keys in memory\. It stays\./,
        );
        await go(leader, access);
      } finally {
        process.kill(pid, "SIGCONT");
      }
    },
  );

  test("stays while its disk lacks what it holds, and no replica took over", async (context) => {
    const { cluster, leader, go } = await going(context, { replicas: 0, lines: () => "appendonly no\nsave 3600 1" });
    // A dump cannot be written where a folder has its name.
    const dir = String(((await cluster.sendTo(leader, ["CONFIG", "GET", "dir"])) as string[])[1]);
    rmSync(`${dir}/dump.rdb`, { force: true });
    mkdirSync(`${dir}/dump.rdb`);
    await cluster.sendTo(leader, ["BGSAVE"]);
    await until("the dump has failed", async () =>
      /rdb_last_bgsave_status:err/.test(String(await cluster.sendTo(leader, ["INFO", "persistence"]))),
    );
    await expect(go(leader)).rejects.toThrow(/its last dump failed/);
    rmSync(`${dir}/dump.rdb`, { recursive: true });
    await cluster.sendTo(leader, ["SAVE"]);
    await go(leader);
  });
});
