import { expect, test } from "vitest";
import { place } from "../../../components/topology/place";
import { type Fault, loseMaster, restore } from "../../support/acknowledged";
import { DeclaredCluster } from "../../support/declared";
import { freeEndpoints, programFor } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { aSpec } from "../../unit/config/specs";

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];

test.skipIf(process.platform !== "linux").for(SERVERS)(
  "%s: a master that loses its replica and then itself loses no write that WAIT confirmed, and guarded refuses instead of losing",
  async (server, context) => {
    const program = await programFor(context, server);
    const spec = aSpec({ engine: { name: program.engine, version: program.version }, nodeTimeoutMilliseconds: 1_000 });
    const { shards, zones } = place(spec);
    const endpoints = await freeEndpoints(
      shards.flatMap((s) => s.nodes),
      zones,
    );
    const cluster = await DeclaredCluster.start({ spec, programOf: () => program, endpoints });
    context.onTestFinished(() => cluster.stop());
    await cluster.reconcile();

    // Unguarded, to see that this way loses writes at all.
    const unguarded = await loseMaster(cluster, "link");
    expect(unguarded).toMatchObject({ guard: { replicas: 0 }, refused: false, confirmedLost: 0 });
    expect(unguarded.lost).toBeGreaterThan(100);
    expect(unguarded.confirmed).toBeGreaterThan(0);

    cluster.declare({ minReplicasToWrite: 1, minReplicasMaxLagSeconds: 1 });
    for (const fault of ["link", "frozen"] satisfies Fault[]) {
      await restore(cluster);
      const guarded = await loseMaster(cluster, fault);
      expect(guarded, fault).toMatchObject({ guard: { replicas: 1, lagSeconds: 1 }, refused: true, confirmedLost: 0 });
      expect(guarded.confirmed, fault).toBeGreaterThan(0);
      // A dropped link is known at once: what was answered in the same moment is all there is.
      if (fault === "link") expect(guarded.lost).toBeLessThanOrEqual(100);
    }
  },
);
