import type { FormationGoal } from "./goal";
import type { AnsweringNode } from "./observation";
import { knows } from "./standing";
import type { Step } from "./steps";

/** Up to this many nodes, every pair meets at once; beyond, everybody meets a few and gossip does the rest. */
export const FULL_MESH_LIMIT = 30;
const HUBS = 4;

/**
 * Everybody with everybody, for nodes that exchange pings several times a second; one of each pair meets the other. A server
 * answers a MEET of somebody it does not know with a handshake of its own, even with one under way: if both meet, every pair
 * makes twice the connections, and dozens of nodes on one machine are busy with that alone. A replica meets its leader, as it is known
 * soonest to who met; else the work is spread.
 * Source: `clusterProcessPacket` (MEET), `clusterStartHandshake`.
 */
export function planMesh(goal: FormationGoal, alive: readonly AnsweringNode[]): Step[] {
  const leaderOf = new Map(
    goal.plan.shards.flatMap(({ nodes }) => nodes.map((n) => [n.name, nodes[0]?.name] as const)),
  );
  return alive.flatMap((a, i) =>
    alive.slice(i + 1).flatMap((b, j) => {
      if (reaches(a, b)) return reaches(b, a) ? [] : meet(b, a);
      if (reaches(b, a)) return meet(a, b);
      if (isShaking(a, b) || isShaking(b, a)) return [];
      const first = leaderOf.get(b.name) === a.name || (leaderOf.get(a.name) !== b.name && j % 2 === 1);
      return first ? meet(b, a) : meet(a, b);
    }),
  );
}

/**
 * Who has to meet whom, by address; both of a pair that does not know each other meet the other. One meeting is enough to
 * be known, but the side that was met learns nobody's slots from it and would wait for the next round of pings.
 * Pairs that are shaking hands already are left alone. A known node at another address than before is met again.
 */
export function planMeetings(goal: FormationGoal, alive: readonly AnsweringNode[], insist: boolean): Step[] {
  const hubs = hubsOf(goal, alive);
  // Gossip takes seconds to introduce somebody new to dozens of nodes; where a few join many, everybody is met at once too.
  const alone = new Set(alive.filter((a) => a.view.length === 1).map((a) => a.name));
  const few = alone.size * alive.length <= FULL_MESH_LIMIT ** 2 / 2;
  const mesh = insist || alive.length <= FULL_MESH_LIMIT;
  const steps: Step[] = [];
  alive.forEach((a, i) => {
    for (const b of alive.slice(i + 1)) {
      const joins = few && (alone.has(a.name) || alone.has(b.name));
      if (!mesh && !joins && !hubs.has(a.name) && !hubs.has(b.name)) continue;
      if (!reaches(a, b)) steps.push(...meet(a, b));
      if (!reaches(b, a)) steps.push(...meet(b, a));
    }
  });
  return steps;
}

/** Each shard among itself: planned leader and planned replicas. */
export function planMeetingsWithinShards(goal: FormationGoal, alive: readonly AnsweringNode[]): Step[] {
  const byName = new Map(alive.map((n) => [n.name, n]));
  return goal.plan.shards.flatMap(({ nodes }) => {
    const [leader, ...replicas] = nodes.flatMap((n) => byName.get(n.name) ?? []);
    return leader ? replicas.flatMap((replica) => (reaches(replica, leader) ? [] : meet(replica, leader))) : [];
  });
}

/** The first masters of the plan, which lie in different zones. */
function hubsOf(goal: FormationGoal, alive: readonly AnsweringNode[]): Set<string> {
  const leaders = goal.plan.shards.flatMap((s) => s.nodes[0]?.name ?? []);
  const present = new Set(alive.map((n) => n.name));
  return new Set(leaders.filter((name) => present.has(name)).slice(0, HUBS));
}

function reaches(a: AnsweringNode, b: AnsweringNode): boolean {
  if (!knows(a, b)) return false;
  const entry = a.view.find((e) => e.id === b.id);
  const moved =
    entry !== undefined && (entry.noaddr || entry.address !== b.endpoint.address || entry.port !== b.endpoint.port);
  return !(moved && !entry.linked);
}

function meet(a: AnsweringNode, b: AnsweringNode): Step[] {
  const { address, port, busPort } = b.endpoint;
  return isShaking(a, b) ? [] : [{ do: "meet", node: a.name, peer: b.name, address, port, busPort }];
}

function isShaking(a: AnsweringNode, { endpoint: { address, port } }: AnsweringNode): boolean {
  return a.view.some((e) => e.handshake && e.address === address && e.port === port);
}
