import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { SLOT_COUNT } from "../../../components/formation/slots";
import { programFor, until } from "../../support/formation";
import { MODE } from "../../support/modes";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster } from "../scale/support";

// What a server does with a ping that its sender wrote before it came to lead, and that says nothing of shards: the fault that
// `components/formation/heard.ts` keeps away from. Where a server here answers otherwise than before, that file can perhaps go.

const HANGS: Record<TestServerName, boolean> = {
  "redis-7.0": false,
  "redis-8.0": true,
  "valkey-8.1": false,
  "valkey-9.1": false,
};
const ANSWER_MILLISECONDS = 3_000;

/** Sizes in bytes of `clusterMsg` in cluster_legacy.h, which all of these servers share. */
const ID = 40;
const ADDRESS = 46;
const HEADER = 2256;
const PING = 0;
const REPLICA = 2;

/** A ping of a replica, without gossip and without extensions. */
function pingOf(sender: string, master: string, busPort: number, epoch: number): Buffer {
  const ping = Buffer.alloc(HEADER);
  ping.write("RCmb", 0);
  ping.writeUInt32BE(HEADER, 4);
  ping.writeUInt16BE(1, 8);
  ping.writeUInt16BE(PING, 12);
  ping.writeBigUInt64BE(BigInt(epoch), 16);
  ping.writeBigUInt64BE(BigInt(epoch), 24);
  ping.write(sender, ID);
  const slots = 2 * ID;
  ping.write(master, slots + SLOT_COUNT / 8);
  const ports = slots + SLOT_COUNT / 8 + ID + ADDRESS + 2 + 30;
  ping.writeUInt16BE(busPort, ports + 2);
  ping.writeUInt16BE(REPLICA, ports + 4);
  return ping;
}

// Under TLS nobody gets to write to the bus.
test.runIf(process.env.FULL && !MODE.strict).for(Object.entries(HANGS) as [TestServerName, boolean][])(
  "%s reads a ping from before a failover after it: does it hang? %s",
  { timeout: 60_000 },
  async ([server, hangs], context) => {
    const program = await programFor(context, server);
    const cluster = await ChangingCluster.start(program, { masters: 3, replicas: 1, zones: 3 });
    context.onTestFinished(() => cluster.stop());
    const [former = "", , listener = ""] = await cluster.leaders();
    const shard = cluster.goal.plan.shards.find(({ nodes }) => nodes.some((n) => n.name === former));
    const heir = shard?.nodes.find((n) => n.name !== former)?.name ?? "";
    const id = async (node: string) => String(await cluster.call(node, "CLUSTER", "MYID"));
    const [formerId, heirId] = [await id(former), await id(heir)];
    const seen = async () =>
      new Map(parseClusterNodes(String(await cluster.call(listener, "CLUSTER", "NODES"))).map((e) => [e.id, e]));
    const before = (await seen()).get(formerId)?.configEpoch ?? 0;
    await cluster.call(heir, "CLUSTER", "FAILOVER");
    await until("the listener has heard of it from both", async () => {
      const view = await seen();
      return view.get(heirId)?.role === "master" && view.get(formerId)?.masterId === heirId;
    });
    const { address, busPort } = cluster.endpoint(listener);
    const socket = connect({ host: address, port: busPort });
    context.onTestFinished(() => void socket.destroy());
    const within = <T>(answer: Promise<T>) =>
      Promise.race([answer, setTimeout(ANSWER_MILLISECONDS, "nothing" as const)]);
    const pong = within(once(socket, "data"));
    socket.write(pingOf(heirId, formerId, cluster.endpoint(heir).busPort, before));
    expect((await pong) === "nothing").toBe(hangs);
    expect(await within(cluster.call(listener, "PING"))).toBe(hangs ? "nothing" : "PONG");
    await cluster.killNode(listener);
  },
);
