import { expect, test } from "vitest";
import { programFor } from "../../support/formation";
import { Security } from "../../support/security";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster } from "../scale/support";
import { SHAPE, Uneven } from "../scale/uneven";

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];

// With users the source has to log in at the target, and no password is to lie in a script's arguments.
test.for([
  ["without users a source lists and moves keys by itself", false],
  ["with users it is told which", true],
] as const)("under TLS, %s", { timeout: 240_000 }, async ([, closed], context) => {
  for (const server of SERVERS) {
    const security = await Security.create({ closed });
    const cluster = await ChangingCluster.start(await programFor(context, server), SHAPE, { security });
    context.onTestFinished(() => cluster.stop());
    const uneven = new Uneven(cluster);
    await uneven.fill(await uneven.unbalance(20), "keys");
    const [, source = ""] = await cluster.leaders();
    await cluster.call(source, "CONFIG", "RESETSTAT");
    await cluster.reconcile({ way: "classic" });
    const stats = String(await cluster.call(source, "INFO", "commandstats"));
    const moved = /cmdstat_migrate:calls=(\d+)/.exec(stats)?.[1] ?? "0";
    expect([server, Number(moved) > 0, /cmdstat_eval:/.test(stats)]).toEqual([
      server,
      true,
      !closed || server.startsWith("redis"),
    ]);
    expect([server, await cluster.faults(), await uneven.missing()]).toEqual([server, [], []]);
    await cluster.stop();
  }
});
