import { setTimeout } from "node:timers/promises";
import { keySlot } from "../spec/keySlot";
import { parseClusterNodes } from "./clusterNodes";
import { type AnsweringNode, answering, type ClusterObservation, self } from "./observation";
import { expandSlots } from "./slots";
import type { Connections } from "./wire";

const POLL_MILLISECONDS = 10;
/** Only where it still takes that node for the owner: one that leads in its place by now would give up a slot of its own. */
const FORGET = `local slot, owner = tonumber(ARGV[1]), ARGV[2]
for _, range in ipairs(redis.call('CLUSTER', 'SLOTS')) do
  if range[1] <= slot and slot <= range[2] and range[3][3] == owner then
    return redis.call('CLUSTER', 'DELSLOTS', ARGV[1])
  end
end`;
/** By then the owner has spoken by itself, if it can: everybody pings everybody within half a node timeout. */
const HEARD_WITHIN_MILLISECONDS = 2_000;

/**
 * Makes replicas take their master's word for its slots anew, after it has gained some.
 *
 * Every two nodes have two connections, so the packet in which a master claims a slot may be read before an older one of its
 * packets, in which it does not. A Redis 7.0 notes then that the slot's owner "no longer claims it", and neither the next claim,
 * which holds no news, nor taking the slot over in a failover wipes that note out: a former master that was killed and is back with its
 * nodes.conf gets the slot for the asking, from a replica that leads in its place by then, which deletes its keys. Found by
 * killing the target of a move; a few times in a hundred under load.
 *
 * The notes on a master's slots go with its next packet in which they differ from what is known. So a replica is made to
 * forget one of them, and its master to send a packet (a MEET, which it has of everybody it knows). Where nobody goes on with that, its next
 * ping does.
 *
 * Source: `clusterUpdateSlotsConfigWith` (`owner_not_claiming_slot`), `clusterDelSlot` of Redis 7.0; 7.2 wipes the notes out
 * with every change of the owner.
 */
export async function reaffirm(
  owner: AnsweringNode,
  hearers: readonly AnsweringNode[],
  connections: Connections,
): Promise<void> {
  await Promise.all(hearers.filter(keepsNotes).map((hearer) => reaffirmOn(hearer, owner, connections)));
}

/** After slots have moved: on the replicas of those that gained some, by name. */
export async function reaffirmGains(
  gained: ReadonlySet<string>,
  observation: ClusterObservation,
  connections: Connections,
): Promise<void> {
  const nodes = answering(observation);
  const owners = nodes.filter((n) => gained.has(n.name) && self(n).slots.length > 0);
  await Promise.all(
    owners.map((owner) => {
      const replicas = nodes.filter((n) => self(n).masterId === owner.id);
      return reaffirm(owner, replicas, connections);
    }),
  );
}

function keepsNotes({ server }: AnsweringNode): boolean {
  return server.name === "redis" && server.version.startsWith("7.0.");
}

async function reaffirmOn(hearer: AnsweringNode, owner: AnsweringNode, connections: Connections): Promise<void> {
  const ask = async (...command: [string, ...(string | number)[]]) => {
    const [answer] = await connections.send(hearer.endpoint, [command]);
    return answer?.ok ? answer.value : undefined;
  };
  const channels = await ask("PUBSUB", "SHARDCHANNELS");
  // Whoever has subscribed to a channel of the slot here would be sent away.
  const inUse = new Set((Array.isArray(channels) ? channels : []).map((channel) => keySlot(String(channel))));
  const slot = expandSlots(self(owner).slots).find((s) => !inUse.has(s));
  if (slot === undefined) return;
  // Without scripts it is left as it is.
  if (String(await ask("EVAL", FORGET, 0, slot, owner.id)) !== "OK") return;
  const { address, port, busPort } = hearer.endpoint;
  await connections.send(owner.endpoint, [["CLUSTER", "MEET", address, port, busPort]]);
  for (const until = Date.now() + HEARD_WITHIN_MILLISECONDS; Date.now() < until; ) {
    const view = await ask("CLUSTER", "NODES");
    const known = parseClusterNodes(String(view ?? "")).find((e) => e.id === owner.id);
    if (expandSlots(known?.slots ?? []).includes(slot)) return;
    await setTimeout(POLL_MILLISECONDS);
  }
}
