import { expect, test } from "vitest";
import { programFor, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster, keyIn } from "./support";

const SLOT = 7;
const KEYS = 50;
const NO_SCRIPTS = ['rename-command EVAL ""', 'rename-command EVAL_RO ""'];
const SERVERS: readonly (readonly [TestServerName, string, readonly string[]])[] = [
  ["redis-7.0", "", []],
  ...(process.env.FULL
    ? ([
        ["redis-7.0", ", no scripts", NO_SCRIPTS],
        ["redis-8.0", "", []],
        ["valkey-8.1", "", []],
      ] as const)
    : []),
];

test.for(SERVERS)(
  "%s%s: a move was cut short, and both its ends are led by replicas since, which know of no open slot: its keys are found",
  { timeout: 120_000 },
  async ([server, , lines], context) => {
    const shape = { masters: 3, replicas: 1, zones: 3 };
    const cluster = await ChangingCluster.start(await programFor(context, server), shape, {
      nodeTimeoutMilliseconds: 1_000,
      lines,
    });
    context.onTestFinished(() => cluster.stop());
    const [source = "", target = ""] = await cluster.leaders();
    const client = cluster.client();
    context.onTestFinished(() => client.disconnect());
    for (let n = 0; n < KEYS; n++) await client.set(keyIn(SLOT, n), `value ${n}`);
    const id = async (name: string) => String(await cluster.call(name, "CLUSTER", "MYID"));
    await cluster.call(target, "CLUSTER", "SETSLOT", SLOT, "IMPORTING", await id(source));
    await cluster.call(source, "CLUSTER", "SETSLOT", SLOT, "MIGRATING", await id(target));
    const { address, port } = cluster.endpoint(target);
    const half = Array.from({ length: KEYS / 2 }, (_, n) => keyIn(SLOT, n));
    await cluster.call(source, "MIGRATE", address, port, "", 0, 5_000, ...cluster.migrateAuth, "KEYS", ...half);
    for (const [i, leader] of [source, target].entries()) {
      const replica = cluster.goal.plan.shards[i]?.nodes.find((n) => n.name !== leader)?.name ?? "";
      await cluster.call(replica, "CLUSTER", "FAILOVER");
      await until("it leads", async () => (await cluster.leaders())[i] === replica);
      await until("its former leader follows", async () =>
        String(await cluster.call(leader, "ROLE")).startsWith("slave"),
      );
    }

    await cluster.reconcile();

    const missing: number[] = [];
    for (let n = 0; n < KEYS; n++) if ((await client.get(keyIn(SLOT, n))) !== `value ${n}`) missing.push(n);
    expect([await cluster.faults(), missing]).toEqual([[], []]);
  },
);
