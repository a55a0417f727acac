import type { FormationGoal } from "./goal";
import type { AnsweringNode } from "./observation";
import { knows } from "./standing";
import type { Step } from "./steps";

/** Up to this many nodes, every pair meets at once; beyond, everybody meets a few and gossip does the rest. */
const FULL_MESH_LIMIT = 30;
const HUBS = 4;

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
  const shaking = a.view.some((e) => e.handshake && e.address === address && e.port === port);
  return shaking ? [] : [{ do: "meet", node: a.name, peer: b.name, address, port, busPort }];
}
