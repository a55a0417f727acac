import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { endpointOf, parseClusterNodes } from "./clusterNodes";
import { LOOK_MILLISECONDS, parseInfo } from "./observe";
import type { Connections } from "./wire";

/** A link comes about within two rounds of the bus's own clock, 100 ms each; what takes much longer is no matter of time. */
const PATIENCE_MILLISECONDS = 5_000;
const LOOK_AGAIN_MILLISECONDS = 25;

/** Of one member, by its own word. */
export interface Listener {
  readonly id: string;
  /** How long its server runs, in whole seconds. */
  readonly upSeconds: number;
  /** By ID of who is at the other end: how old a link is on which something of theirs was read, in milliseconds. */
  readonly heard: ReadonlyMap<string, number>;
}

/**
 * Waits until each member has read something from every other one on a link that is not older than that one's server. The first ping on a
 * new link carries no shard ID and waits in a socket; if its sender comes to lead meanwhile, it says what is over. A server that reads it
 * then takes two nodes for replicas of each other, follows that chain for ever (Redis from 7.2 on) and answers nobody any more: so no
 * leadership passes while a server that has just started gets to know the others.
 *
 * Not longer than some seconds: two members may be kept apart for good, and those that do not answer are not waited for.
 * Source: `clusterProcessPacket` ("Ignore stale message"), `clusterProcessPingExtensions` and `clusterNodeGetMaster` in cluster_legacy.c of
 * Redis 7.2 to 8.0; https://github.com/redis/redis/issues/13306
 * @param heir who is to lead; its view tells who the members are
 */
export async function untilHeard(heir: NodeEndpoint, connections: Connections): Promise<void> {
  for (const until = Date.now() + PATIENCE_MILLISECONDS; ; await setTimeout(LOOK_AGAIN_MILLISECONDS)) {
    if (unheard(await listenersOf(heir, connections)).length === 0 || Date.now() > until) return;
  }
}

/** Who has not yet heard whom, of all that tell; by ID. */
export function unheard(listeners: readonly Listener[]): (readonly [listener: string, speaker: string])[] {
  return listeners.flatMap(({ id, heard }) =>
    listeners.flatMap((other) => {
      if (other.id === id) return [];
      const age = heard.get(other.id) ?? Number.POSITIVE_INFINITY;
      // A link that was there before that server, as where its host ended without a word, is none to it.
      return age <= (other.upSeconds + 1) * 1000 ? [] : [[id, other.id] as const];
    }),
  );
}

/** What members tell, of those that answer. @param heir whose view tells who they are */
export async function listenersOf(heir: NodeEndpoint, connections: Connections): Promise<Listener[]> {
  const within = { withinMilliseconds: LOOK_MILLISECONDS };
  const [nodes] = await connections.send(heir, [["CLUSTER", "NODES"]], within);
  const view = nodes?.ok ? parseClusterNodes(String(nodes.value)) : [];
  const members = view.filter((e) => e.address !== "" && !e.noaddr && !e.handshake && e.health === "ok");
  const told = await Promise.all(
    members.map(async (entry): Promise<Listener[]> => {
      const to = entry.myself ? heir : endpointOf(entry);
      const [info, links] = await connections.send(
        to,
        [
          ["INFO", "server"],
          ["CLUSTER", "LINKS"],
        ],
        within,
      );
      if (!info?.ok || !links?.ok) return [];
      const { server_time_usec: now, uptime_in_seconds: up } = parseInfo(String(info.value));
      return [{ id: entry.id, upSeconds: Number(up), heard: heardOn(links.value, Number(now) / 1000) }];
    }),
  );
  return told.flat();
}

/**
 * Of the links that others have made: a server knows whose one is once it has read something on it.
 * Source: https://redis.io/docs/latest/commands/cluster-links/
 */
function heardOn(links: unknown, now: number): Map<string, number> {
  const fields = (link: unknown): Record<string, unknown> => {
    const pairs = link as readonly unknown[];
    return Object.fromEntries(pairs.flatMap((name, i) => (i % 2 === 0 ? [[String(name), pairs[i + 1]]] : [])));
  };
  return new Map(
    (links as readonly unknown[])
      .map(fields)
      .filter((link) => String(link["direction"]) === "from")
      .map((link) => [String(link["node"]), now - Number(link["create-time"])] as const),
  );
}
