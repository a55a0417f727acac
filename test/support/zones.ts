import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { TestContext } from "vitest";
import { parseClusterNodes } from "../../components/formation/clusterNodes";
import { countSlots, SLOT_COUNT } from "../../components/formation/slots";
import { keySlot } from "../../components/spec/keySlot";
import type { ClusterSpec } from "../../components/spec/spec";
import { place } from "../../components/topology/place";
import { aSpec } from "../unit/config/specs";
import { DeclaredCluster } from "./declared";
import { Network, NoNamespaces } from "./network";
import { inCi, type ServerProgram } from "./servers";

const PORT = 6379;
export const BUS_PORT = 16379;

/** A network of zones; where this machine allows none, the test is skipped and says why, in CI as well: no retry changes that. */
export async function networkFor(
  context: TestContext,
  shape: { readonly zones: readonly string[]; readonly hostsPerZone: number },
): Promise<Network> {
  const { ensureIp, NoIp } = await import("../../infra/toolchain/iproute.mjs");
  try {
    const ip = await ensureIp({ log: (line) => process.stderr.write(`${line}\n`) });
    const network = Network.create({ ...shape, ip });
    context.onTestFinished(() => network.dispose());
    return network;
  } catch (error) {
    if (error instanceof NoNamespaces || (error instanceof NoIp && !inCi())) return context.skip(error.message);
    throw error;
  }
}

/** Servers of a declaration, each in its zone's namespace at an address of its own, all with the same ports. */
export async function startInZones(
  context: TestContext,
  network: Network,
  program: ServerProgram,
  changes: Partial<ClusterSpec>,
): Promise<DeclaredCluster> {
  const spec = aSpec({
    engine: { name: program.engine, version: program.version },
    // Clients come from other addresses, and a test's servers have no password.
    redisConfig: { "protected-mode": "no" },
    ...changes,
  });
  const hosts = new Map<string, number>();
  const endpoints = Object.fromEntries(
    place(spec)
      .shards.flatMap((s) => s.nodes)
      .map(({ name, zone }) => {
        const host = hosts.get(zone) ?? 0;
        hosts.set(zone, host + 1);
        return [name, { address: network.address(zone, host), port: PORT, busPort: BUS_PORT }] as const;
      }),
  );
  const programOf = ({ zone }: { readonly zone: string }) => network.programIn(zone, program);
  const cluster = await DeclaredCluster.start({ spec, programOf, endpoints });
  context.onTestFinished(() => cluster.stop());
  return cluster;
}

/** How long servers wanted a CPU and had none, in milliseconds: together since they started, and all of them while the machine itself had none. */
export function stalledMilliseconds(pids: readonly (number | undefined)[]): number {
  const waited = pids.map((pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6);
  const stolen = Number(/^cpu +(?:\d+ ){7}(\d+)/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? 0) * 10;
  return waited.reduce((sum, ms) => sum + ms, stolen);
}

/** A key of a shard that these slots belong to, as planned at first. */
export function keyOfShard(cluster: DeclaredCluster, shard: string): string {
  const slots = cluster.goal.plan.shards.find((s) => s.name === shard)?.slots ?? [];
  for (let i = 0; ; i++) {
    const key = `probe:${i}`;
    if (slots.some(({ start, end }) => keySlot(key) >= start && keySlot(key) <= end)) return key;
  }
}

/**
 * Asks these nodes until each says that the cluster is ok and that some of them own all slots, and until a write to this
 * shard was accepted. Every answer comes with the clock of the server that gave it, so that our own delays do not count.
 *
 * @returns when the last of it was so, in milliseconds of the wall clock
 */
export async function untilCovered(
  cluster: DeclaredCluster,
  names: readonly string[],
  shard: string,
  limitMilliseconds = 120_000,
): Promise<number> {
  const key = keyOfShard(cluster, shard);
  const clients = names.map((name) => ({ name, client: cluster.connect(name, { commandTimeout: 2_000 }) }));
  const addresses = new Map(names.map((name) => [cluster.endpoint(name).address, name]));
  const seen = new Map<string, number>();
  let written: number | undefined;
  const end = Date.now() + limitMilliseconds;
  try {
    while (seen.size < names.length || written === undefined) {
      if (Date.now() > end)
        throw new Error(`not covered after ${limitMilliseconds} ms: only ${[...seen.keys()].join(", ")}`);
      await Promise.all(
        clients.map(async ({ name, client }) => {
          const answers =
            (await client.pipeline().cluster("INFO").call("CLUSTER", "NODES").set(key, "x").time().exec()) ?? [];
          const [info, nodes, set, time] = answers;
          const at = milliseconds(time?.[1]);
          const owners = parseClusterNodes(String(nodes?.[1])).filter(
            (e) => e.role === "master" && e.health === "ok" && addresses.has(e.address),
          );
          const covered = countSlots(owners.flatMap((e) => e.slots)) === SLOT_COUNT;
          if (covered && /cluster_state:ok/.test(String(info?.[1]))) seen.set(name, seen.get(name) ?? at);
          else seen.delete(name);
          if (set?.[1] === "OK") written ??= at;
        }),
      );
      await setTimeout(10);
    }
  } finally {
    for (const { client } of clients) client.disconnect();
  }
  return Math.max(written, ...seen.values());
}

/** TIME: seconds and microseconds. */
export function milliseconds(time: unknown): number {
  const [seconds, micros] = Array.isArray(time) ? time : [];
  return Number(seconds) * 1_000 + Number(micros) / 1_000;
}
