import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { layoutOf } from "../../../components/formation/layout";
import { expandSlots } from "../../../components/formation/slots";
import { place } from "../../../components/topology/place";
import { programFor, TestCluster } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { specOf } from "../../unit/topology/support";

const SHAPE = { masters: 4, replicas: 1, zones: 3 };
const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];

test.for(SERVERS)(
  "%s: a shard that is to leave, and is empty already, leaves although its leader lost its nodes.conf: its replica follows an ID that is gone",
  { timeout: 600_000 },
  async (server, context) => {
    const program = await programFor(context, server);
    const cluster = await TestCluster.start({ program, ...SHAPE, nodeTimeoutMilliseconds: 2_000 });
    context.onTestFinished(() => cluster.stop());
    const { members } = await cluster.reconcile();
    const shards = layoutOf(cluster.goal, await cluster.observe());
    const leaving = shards[3];
    const name = leaving?.leader?.name ?? "";
    const replica = leaving?.replicas[0]?.name ?? "";
    // As a scale-in that was killed after its last move: a third to each of the others.
    const takers = shards.slice(0, 3).flatMap(({ leader }) => leader ?? []);
    const told = [...takers.map((n) => n.name), name].map((n) => cluster.connect(n));
    const slots = expandSlots(leaving?.slots ?? []);
    // Else the leader, whose epoch is the latest, takes them back before it is told.
    for (const taker of takers) await cluster.sendTo(taker.name, ["CLUSTER", "BUMPEPOCH"]);
    for (const node of told) {
      const pipeline = node.pipeline();
      for (const [i, slot] of slots.entries())
        pipeline.call("CLUSTER", "SETSLOT", slot, "NODE", takers[i % 3]?.id ?? "");
      expect((await pipeline.exec())?.filter(([error]) => error)).toEqual([]);
      node.disconnect();
    }
    await cluster.killNode(name);
    rmSync(join(cluster.dir(name), "nodes.conf"));
    await cluster.startNode(name);

    const { masters: _all, ...rest } = SHAPE;
    const plan = place(
      specOf(3, rest.replicas, rest.zones, { engine: cluster.goal.engine, nodeTimeoutMilliseconds: 2_000 }),
    );
    const staying = new Set(plan.shards.flatMap((s) => s.nodes.map((n) => n.name)));
    const endpoints = Object.fromEntries(Object.entries(cluster.goal.endpoints).filter(([n]) => staying.has(n)));
    await cluster.reconcile({ members, verified: true }, { goal: { ...cluster.goal, plan, endpoints } });

    for (const left of [name, replica])
      expect([
        left,
        String(await cluster.sendTo(left, ["CLUSTER", "NODES"]))
          .trim()
          .split("\n").length,
      ]).toEqual([left, 1]);
    for (const stays of staying)
      expect([
        stays,
        String(await cluster.sendTo(stays, ["CLUSTER", "NODES"]))
          .trim()
          .split("\n").length,
      ]).toEqual([stays, 6]);
  },
);
