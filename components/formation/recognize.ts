import type { HostPlan, HostWishes } from "../topology/hosts";
import { changeHosts, formFromHosts } from "../topology/hosts";
import { foreignNodes } from "./assess";
import type { Member } from "./goal";
import { claims } from "./layout";
import { type AnsweringNode, answering, type ClusterObservation, self } from "./observation";
import type { Refusal, RefusalKind } from "./refusals";
import { silentNodes } from "./silent";
import { countSlots, expandSlots, formatRanges, SLOT_COUNT } from "./slots";
import { componentsOf } from "./standing";

/** A host as declared: a node's name, and the zone that it is said to be in. */
export interface GivenHost {
  readonly name: string;
  readonly zone: string;
}

/** What hosts that nobody recorded turned out to be. */
export type Recognized =
  /** A whole cluster. `members`: its nodes; any other host is to join it. */
  | {
      readonly kind: "cluster";
      /** Its shards as they are. */
      readonly found: HostPlan;
      /** With the hosts that are to join it, and as evenly as was asked for. */
      readonly plan: HostPlan;
      readonly members: readonly Member[];
    }
  /** Nothing yet, or what an interrupted formation of this very plan left. */
  | { readonly kind: "blank"; readonly plan: HostPlan }
  | { readonly kind: "refused"; readonly refusals: readonly Refusal[] };

const FEWEST_MASTERS = 3;

/**
 * Tells what runs on given hosts, from what each of them reports. A whole cluster keeps its roles and slots, whatever the
 * order of the hosts; nothing is guessed about one that is not whole. Pure; all refusals together.
 */
export function recognize(
  cluster: string,
  hosts: readonly GivenHost[],
  wishes: HostWishes,
  observation: ClusterObservation,
): Recognized {
  const found = unfit(cluster, observation);
  if (found.length > 0) return { kind: "refused", refusals: found };
  const alive = answering(observation);
  const owning = componentsOf(alive).filter((c) => c.some((n) => self(n).slots.length > 0));
  const keyless = alive.every((n) => n.keys === 0);
  const formed = formFromHosts(hosts, wishes);
  const refuse = (kind: RefusalKind, message: string, remedy: string): Recognized => ({
    kind: "refused",
    refusals: [{ kind, subject: cluster, message, remedy }],
  });

  const whole = owning.length === 1 && isWhole(observation);
  if (!whole && keyless && formed.plan && owning.every((c) => c.every((n) => fits(n, formed.plan))))
    return { kind: "blank", plan: formed.plan };
  if (owning.length === 0 && keyless) return refuse("other-layout", (formed.problems ?? []).join("; "), CHANGE);
  if (owning.length > 1)
    return refuse(
      "two-clusters",
      `the hosts are ${owning.length} clusters that own slots: ${owning.map(describe).join("; ")}`,
      "give the hosts of one of them; joining them would merge two clusters",
    );
  const [main = []] = owning;
  const strangers = alive.filter((n) => n.keys > 0 && !main.includes(n));
  if (strangers.length > 0)
    return {
      kind: "refused",
      refusals: strangers.map((n) => ({
        kind: "data-on-new-node",
        subject: n.name,
        message: `${n.name} is in no cluster and holds ${n.keys} keys`,
        remedy: "move its data away and empty it by hand, or take it out of `nodes`; nothing is ever flushed",
      })),
    };
  if (!whole) {
    const { unowned, contested } = claims(observation);
    const what =
      unowned.length > 0
        ? `${countSlots(unowned)} slots have no owner: ${formatRanges(unowned)}`
        : `${countSlots(contested)} slots are claimed twice: ${formatRanges(contested)}`;
    return refuse(
      "data-lost",
      `the hosts are a cluster that is not whole: ${what}`,
      "mend it first (bring back the node that owned them, or `--cluster fix` once you are sure), then run `up` again; a cluster is taken over as it is, and this one would be missing data",
    );
  }
  return adopt(hosts, wishes, main, refuse);
}

const CHANGE = "change `nodes`, `masters` or `replicasPerMaster`";

function adopt(
  hosts: readonly GivenHost[],
  wishes: HostWishes,
  main: readonly AnsweringNode[],
  refuse: (kind: RefusalKind, message: string, remedy: string) => Recognized,
): Recognized {
  const leaders = main
    .filter((n) => self(n).role === "master" && self(n).slots.length > 0)
    .sort((a, b) => (self(a).slots[0]?.start ?? 0) - (self(b).slots[0]?.start ?? 0));
  if (leaders.length < FEWEST_MASTERS)
    return refuse(
      "other-layout",
      `the hosts are a cluster of ${leaders.length} ${leaders.length === 1 ? "master" : "masters"}, and ${FEWEST_MASTERS} is the least that can lose one`,
      "add masters to it first (`--cluster add-node`, `--cluster rebalance`), then run `up` again",
    );
  if (wishes.masters !== undefined && wishes.masters !== leaders.length)
    return refuse(
      "other-layout",
      `masters: ${wishes.masters} is declared, and the hosts are a cluster of ${leaders.length} masters`,
      `declare masters: ${leaders.length}, or leave it out; once the cluster is under management, change it`,
    );
  const zones = new Map(hosts.map((h) => [h.name, h.zone]));
  const rank = new Map(hosts.map((h, i) => [h.name, i]));
  const byId = new Map(main.map((n) => [n.id, n]));
  const shards = leaders.map((leader, index) => {
    const name = `shard-${index}`;
    const replicas = main
      .filter((n) => n !== leader && leaderOf(n, byId) === leader)
      .sort((a, b) => (rank.get(a.name) ?? 0) - (rank.get(b.name) ?? 0));
    const nodes = [leader, ...replicas].map((n) => ({ name: n.name, shard: name, zone: zones.get(n.name) ?? "" }));
    return { name, slots: self(leader).slots, nodes };
  });
  const counts = shards.map((s) => countSlots(s.slots));
  const even = Math.max(...counts) - Math.min(...counts) <= 1;
  const asFound: HostPlan = {
    shards,
    ...(even ? {} : { slotShares: Object.fromEntries(shards.map((s, i) => [s.name, counts[i] ?? 0])) }),
  };
  const decided = changeHosts(asFound, hosts, wishes);
  if (!decided.plan) return refuse("other-layout", decided.problems.join("; "), CHANGE);
  const shardOf = new Map(shards.flatMap((s) => s.nodes.map((n) => [n.name, s.name] as const)));
  const members = main.flatMap((n): Member[] => {
    const shard = shardOf.get(n.name);
    if (shard === undefined) return [];
    return [{ name: n.name, shard, zone: zones.get(n.name) ?? "", id: n.id, endpoint: n.endpoint, state: "member" }];
  });
  return { kind: "cluster", found: asFound, plan: decided.plan, members };
}

/** The master that a node follows in the end; a replica may follow a replica. */
function leaderOf(node: AnsweringNode, byId: ReadonlyMap<string, AnsweringNode>): AnsweringNode | undefined {
  const seen = new Set<AnsweringNode>();
  let at: AnsweringNode | undefined = node;
  while (at && self(at).role === "replica" && !seen.has(at)) {
    seen.add(at);
    at = byId.get(self(at).masterId ?? "");
  }
  return at && self(at).role === "master" ? at : undefined;
}

function isWhole(observation: ClusterObservation): boolean {
  const { unowned, contested } = claims(observation);
  return unowned.length === 0 && contested.length === 0;
}

/** Could formation of this plan have left the node like this? It owns nothing, or only what the plan gives it. */
function fits(node: AnsweringNode, plan: HostPlan): boolean {
  const { slots } = self(node);
  if (slots.length === 0) return true;
  const planned = new Set(expandSlots(plan.shards.find((s) => s.nodes[0]?.name === node.name)?.slots ?? []));
  return countSlots(slots) < SLOT_COUNT && expandSlots(slots).every((slot) => planned.has(slot));
}

function describe(nodes: readonly AnsweringNode[]): string {
  const slots = nodes.reduce((sum, n) => sum + countSlots(self(n).slots), 0);
  const keys = nodes.reduce((sum, n) => sum + n.keys, 0);
  return `${nodes.map((n) => n.name).join("+")} (${slots} slots, ${keys} keys)`;
}

/** Hosts of which nothing can be said, or that do not belong together. */
function unfit(cluster: string, observation: ClusterObservation): Refusal[] {
  const found = silentNodes(
    observation.nodes,
    cluster,
    "start the server, or let this machine reach that address, or take it out of `nodes`; nothing is guessed about a host that was never seen",
  );
  const byId = new Map<string, AnsweringNode>();
  for (const node of observation.nodes) {
    const where = `${node.endpoint.address}:${node.endpoint.port}`;
    if (!node.answering) continue;
    const twin = byId.get(node.id);
    if (!node.server.clusterEnabled)
      found.push({
        kind: "not-cluster-mode",
        subject: node.name,
        message: `${node.name} at ${where} runs without cluster mode`,
        remedy: "start it with `cluster-enabled yes`",
      });
    else if (twin)
      found.push({
        kind: "duplicate-id",
        subject: node.name,
        message: `${node.name} at ${where} and ${twin.name} at ${twin.endpoint.address}:${twin.endpoint.port} have the same node ID ${node.id}`,
        remedy:
          "give each server once, under the address that it announces; if they are two, one's data folder was copied from the other",
      });
    else byId.set(node.id, node);
  }
  const alive = answering(observation);
  // A host that does not answer is foreign to nobody: who it is cannot be told.
  if (alive.length < observation.nodes.length) return found;
  for (const [id, seen] of foreignNodes([], alive))
    found.push({
      kind: "foreign-node",
      subject: id,
      message: `${seen.by.join(", ")} ${seen.by.length === 1 ? "knows" : "know"} node ${id} at ${seen.address}, which is not in the \`nodes\` of ${cluster}`,
      remedy:
        "add it to `nodes` if it belongs to the cluster; else remove it by hand (`--cluster del-node`, or CLUSTER FORGET on every node within a minute): its slots and copies would not be managed",
    });
  return found;
}
