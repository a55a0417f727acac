import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { endpointOf, type NodeEntry, parseClusterNodes } from "./clusterNodes";
import { LOOK_MILLISECONDS, parseInfo, parsePairs } from "./observe";
import type { Connections } from "./wire";

/** A link comes about within two rounds of the bus's own clock, 100 ms each; what takes much longer is no matter of time. */
const PATIENCE_MILLISECONDS = 5_000;
const LOOK_AGAIN_MILLISECONDS = 25;
/** For one that is doubted: it may be back, and a host that is gone gives no answer at all. */
const DOUBTED_MILLISECONDS = 500;
/** What came on a new link has long been read by then. */
const YOUNG_SECONDS = 60;

/** Of one member, by its own word. */
export interface Listener {
  readonly id: string;
  /** How long its server runs, in whole seconds. */
  readonly upSeconds: number;
  /** By ID of who is at the other end: how old a link is on which something of theirs was read, in milliseconds. */
  readonly heard: ReadonlyMap<string, number>;
}

/** What else is to be known while waiting. */
interface Waiting {
  /** Why to stop; undefined as long as there is no reason. */
  readonly stopReason: () => string | undefined;
  readonly say?: (line: string) => void;
}

/**
 * Waits until each server that has just started and each other member have read something of one another, on a link that is not older than
 * either. The first ping on a new link carries no shard ID and waits in a socket; if its sender comes to lead meanwhile, it says what
 * is over. A server that reads it then takes two nodes for replicas of each other, follows that chain for ever (Redis 7.2 to 8.0, with a stack
 * of 8.0.2) and answers nobody any more: so no leadership passes while a server gets to know the others.
 *
 * Not longer than some seconds: two members may be kept apart for good, and those that do not answer are not waited for.
 * Source: `clusterProcessPacket` ("Ignore stale message"), `clusterProcessPingExtensions` and `clusterNodeGetMaster` in cluster_legacy.c of
 * Redis 8.0; https://github.com/redis/redis/issues/13306
 * @param heir who is to lead; its view tells who the members are
 * @param connections for acting. What is asked here goes over others: a node that gives no answer in time costs a connection, and the first of those
 *   is this run's turn
 */
export async function untilHeard(
  heir: NodeEndpoint,
  connections: Connections,
  { stopReason, say }: Waiting,
): Promise<void> {
  const looking = connections.another();
  const until = performance.now() + PATIENCE_MILLISECONDS;
  try {
    for (;;) {
      const left = until - performance.now();
      const pairs = unheard(await listenersOf(heir, looking, Math.max(left, DOUBTED_MILLISECONDS)));
      if (pairs.length === 0 || stopReason() !== undefined) return;
      if (performance.now() > until) return say?.(tooLong(pairs));
      await setTimeout(LOOK_AGAIN_MILLISECONDS);
    }
  } finally {
    looking.close();
  }
}

const tooLong = (pairs: ReturnType<typeof unheard>) =>
  `${PATIENCE_MILLISECONDS / 1000} s after a start some nodes have not heard of each other (${pairs.map(([to, of]) => `${to.slice(0, 8)} of ${of.slice(0, 8)}`).join(", ")}); leadership passes all the same`;

/** Who has not yet heard whom, of all that tell and where one of both is young; by ID. */
export function unheard(listeners: readonly Listener[]): (readonly [listener: string, speaker: string])[] {
  return listeners.flatMap((one) =>
    listeners.flatMap((other) => {
      if (other.id === one.id || Math.min(one.upSeconds, other.upSeconds) >= YOUNG_SECONDS) return [];
      const age = one.heard.get(other.id) ?? Number.POSITIVE_INFINITY;
      // A link that was there before that server, as where its host ended without a word, is none to it.
      return age <= (other.upSeconds + 1) * 1000 ? [] : [[one.id, other.id] as const];
    }),
  );
}

/**
 * What members tell, of those that answer; nothing where no server is young.
 * @param heir whose view tells who they are
 * @param most how long each of up to three questions may take, in milliseconds
 */
export async function listenersOf(heir: NodeEndpoint, connections: Connections, most: number): Promise<Listener[]> {
  const whole = Math.min(most, LOOK_MILLISECONDS);
  const [nodes] = await connections.send(heir, [["CLUSTER", "NODES"]], { withinMilliseconds: whole });
  const view = nodes?.ok ? parseClusterNodes(String(nodes.value)) : [];
  const ask = async (entry: NodeEntry, command: "INFO" | "LINKS") => {
    const withinMilliseconds = entry.health === "ok" ? whole : Math.min(whole, DOUBTED_MILLISECONDS);
    const words = command === "INFO" ? (["INFO", "server"] as const) : (["CLUSTER", "LINKS"] as const);
    const [answer] = await connections.send(entry.myself ? heir : endpointOf(entry), [words], { withinMilliseconds });
    return answer;
  };
  const members = await Promise.all(
    view
      .filter((e) => !e.noaddr && !e.handshake && e.address !== "")
      .map(async (entry) => {
        const info = await ask(entry, "INFO");
        if (!info?.ok) return [];
        const { server_time_usec: now, uptime_in_seconds: up } = parseInfo(String(info.value));
        return [{ entry, upSeconds: Number(up), now: Number(now) / 1000 }];
      }),
  );
  const answering = members.flat();
  if (answering.every(({ upSeconds }) => upSeconds >= YOUNG_SECONDS)) return [];
  const told = await Promise.all(
    answering.map(async ({ entry, upSeconds, now }): Promise<Listener[]> => {
      const links = await ask(entry, "LINKS");
      const { id } = entry;
      if (links?.ok) return [{ id, upSeconds, heard: heardOn(links.value, now) }];
      // Until it has loaded its data, it reads what comes on the bus from time to time.
      return /^LOADING\b/.test(links?.error.message ?? "") ? [{ id, upSeconds, heard: new Map() }] : [];
    }),
  );
  return told.flat();
}

/**
 * Of the links that others have made: a server knows whose one is once it has read something on it.
 * Source: https://redis.io/docs/latest/commands/cluster-links/
 * @param now by that server's clock, in milliseconds
 */
function heardOn(links: unknown, now: number): Map<string, number> {
  return new Map(
    (links as readonly unknown[])
      .map(parsePairs)
      .filter((link) => link["direction"] === "from")
      .map((link) => [link["node"] ?? "", now - Number(link["create-time"])] as const),
  );
}
