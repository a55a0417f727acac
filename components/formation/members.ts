import { hostAndPort } from "../config/types";
import type { NodeEntry } from "./clusterNodes";
import type { FormationGoal, Member } from "./goal";
import { answering, type ClusterObservation, isBlank, type NodeObservation, withoutRetired } from "./observation";

/** Adds what answers now. A former ID of a node stays, marked stale, until nobody lists it any more. */
export function rememberMembers(
  goal: FormationGoal,
  members: readonly Member[],
  observation: ClusterObservation,
): Member[] {
  const alive = answering(observation);
  const byId = new Map(members.map((m) => [m.id, m]));
  const answer = new Set(alive.map((n) => n.id));
  const madeFor = purposes(goal);
  for (const node of alive) {
    if (node.id.startsWith("no-cluster-mode:")) continue;
    const former = node.leaving && isBlank(node);
    // An ID that another node answers with is not a former one: names were exchanged.
    for (const m of members) if (m.name === node.name && !answer.has(m.id)) byId.set(m.id, { ...m, state: "stale" });
    if (former) continue;
    byId.set(node.id, { name: node.name, ...madeFor(node), id: node.id, endpoint: node.endpoint, state: "member" });
  }
  return [...byId.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1));
}

/** After verification: former IDs, and nodes that are no longer declared, are gone for good once nobody lists them. */
export function currentMembers(
  goal: FormationGoal,
  members: readonly Member[],
  observation: ClusterObservation,
): Member[] {
  const known = new Set(answering(withoutRetired(observation)).flatMap((n) => n.view.map((e) => e.id)));
  const planned = new Set(goal.plan.shards.flatMap((s) => s.nodes.map((n) => n.name)));
  return rememberMembers(goal, members, observation).filter(
    (m) => known.has(m.id) || (m.state === "member" && planned.has(m.name)),
  );
}

/** Who counts as ours at this look. What nobody recorded is never remembered: the next look may tell another story of it. */
export function membersOfThisLook(
  goal: FormationGoal,
  remembered: readonly Member[],
  observation: ClusterObservation,
): Member[] {
  return [...remembered, ...unrecordedIds(goal, remembered, observation)];
}

/** Stands for the name of a node of which nothing is left but an ID. */
const LEFT = "a node that left";
const NOWHERE = { address: "", port: 0, busPort: 0 };

/**
 * IDs that no run recorded, and that are ours all the same, as after a run that added nodes and was killed, and another that was
 * killed while it took them out again. One that is listed at the address of a node of ours is that node's: it is silent, or has another
 * one by now. One without any address, which owns nothing and is followed by none of ours that stays, is of a node that left. Of
 * given hosts only one that is silent counts: whoever else is not recorded there is somebody else's.
 */
function unrecordedIds(goal: FormationGoal, members: readonly Member[], observation: ClusterObservation): Member[] {
  const alive = answering(observation);
  const ours = new Set([...alive, ...members].map(({ id }) => id));
  const going = new Set(observation.nodes.filter((n) => n.leaving).map((n) => n.name));
  const current = [...alive, ...members.filter((m) => m.state === "member")];
  const staying = new Set(current.filter((n) => !going.has(n.name)).map((n) => n.id));
  const followed = new Set(alive.flatMap((n) => n.view.filter((e) => staying.has(e.id)).map((e) => e.masterId)));
  const madeFor = purposes(goal);
  const unknown = new Map<string, NodeEntry[]>();
  for (const entry of alive.flatMap((n) => n.view))
    if (!entry.handshake && !ours.has(entry.id)) unknown.set(entry.id, [...(unknown.get(entry.id) ?? []), entry]);
  return [...unknown].flatMap(([id, entries]): Member[] => {
    const places = new Set(entries.filter((e) => !e.noaddr).map(hostAndPort));
    const node = observation.nodes.find(({ endpoint }) => places.has(hostAndPort(endpoint)));
    if (goal.given && node?.answering !== false) return [];
    if (node) {
      const state = node.answering ? "stale" : "member";
      return [{ name: node.name, ...madeFor(node), id, endpoint: node.endpoint, state }];
    }
    if (places.size > 0 || followed.has(id) || entries.some((e) => e.slots.length > 0)) return [];
    return [{ name: LEFT, shard: "", zone: "", id, endpoint: NOWHERE, state: "stale" }];
  });
}

/** Shard and zone that a node is planned in, or, where it is to leave, was. */
function purposes(goal: FormationGoal): (node: NodeObservation) => Pick<Member, "shard" | "zone"> {
  const planned = new Map(goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, n] as const)));
  return (node) => {
    const { shard = "", zone = "" } = planned.get(node.name) ?? node.leaving ?? {};
    return { shard, zone };
  };
}
