import { arrivingSlots, shardOf } from "./arriving";
import { foreignNodes, knowsOf, staleMembers } from "./assess";
import type { FormationGoal, Member } from "./goal";
import { layoutOf } from "./layout";
import { type AnsweringNode, answering, type ClusterObservation, type NodeObservation, self } from "./observation";
import { silentNodes } from "./silent";
import { countSlots, expandSlots, formatRanges, toRanges } from "./slots";
import { differingSlots, type Standing } from "./standing";

/** Why formation will not go on by itself: what was seen, and what a person can do. Nothing was changed. */
export interface Refusal {
  readonly kind: RefusalKind;
  readonly subject: string;
  readonly message: string;
  readonly remedy: string;
}

/** Every refusal there is. Formation either converges or ends in one of these. */
export type RefusalKind =
  | "silent-node"
  | "not-cluster-mode"
  | "duplicate-id"
  | "foreign-node"
  | "version-mix"
  | "wrong-engine"
  | "two-clusters"
  | "data-on-new-node"
  | "other-layout"
  | "data-lost"
  | "bus-port"
  | "no-memory"
  | "big-key"
  | "other-databases"
  | "conflicting-keys";

/** Reasons not to touch this cluster at all, checked before each batch of steps. All of them are reported together. */
export function refusals(
  goal: FormationGoal,
  members: readonly Member[],
  observation: ClusterObservation,
  standing: Standing,
): Refusal[] {
  const alive = answering(observation);
  const found: Refusal[] = [];
  const refuse = (kind: RefusalKind, subject: string, message: string, remedy: string) =>
    found.push({ kind, subject, message, remedy });

  // A member that is to go and owns nothing any more can go silently; one with slots cannot.
  const mayBeSilent = (node: NodeObservation) =>
    !node.answering &&
    node.leaving &&
    knowsOf(observation, node).every((e) => e.slots.length === 0 && e.health === "fail");
  found.push(
    ...silentNodes(
      observation.nodes.filter((node) => !mayBeSilent(node)),
      goal.cluster,
      "start the server, or let this machine reach that address, and run `up` again; a silent node is never taken for a lost one",
    ),
  );
  const twins = new Map<string, string>();
  for (const node of alive) {
    if (!node.server.clusterEnabled)
      refuse(
        "not-cluster-mode",
        node.name,
        `${node.name} runs without cluster mode`,
        "start it with `cluster-enabled yes`",
      );
    const twin = twins.get(node.id);
    if (twin !== undefined)
      refuse(
        "duplicate-id",
        node.name,
        `${node.name} and ${twin} have the same node ID ${node.id}`,
        "one data folder was copied from the other, or two names share an address: give each node its own nodes.conf",
      );
    twins.set(node.id, node.name);
    const { busPort } = self(node);
    if (node.server.clusterEnabled && busPort !== node.endpoint.busPort) {
      refuse(
        "bus-port",
        node.name,
        `${node.name} announces bus port ${busPort}, and ${node.endpoint.busPort} is expected`,
        `set its cluster-port or cluster-announce-bus-port to ${node.endpoint.busPort}; the other nodes would try a port where it does not listen`,
      );
    }
  }
  for (const [id, seen] of foreignNodes(members, alive)) {
    refuse(
      "foreign-node",
      id,
      `${seen.by.join(", ")} ${seen.by.length === 1 ? "knows" : "know"} node ${id} at ${seen.address}, which is not of ${goal.cluster}`,
      "an address was reused, or the node belongs to another cluster: give the cluster fresh nodes, or take the node out (stop it, then CLUSTER FORGET on every node); joining them would merge two clusters. If it is one that an interrupted run of yours had added, declare it again, let `up` end, and take it back then",
    );
  }
  versions(goal, alive, standing, refuse);
  if (!standing.formed) strangers(goal, alive, standing, refuse);
  else {
    lostSlots(alive, standing, refuse);
    // A silent node may be a replica that kept its data.
    if (alive.length === observation.nodes.length) emptiedReplicas(members, alive, refuse);
    intruders(goal, members, alive, standing, refuse);
    memory(goal, observation, refuse);
  }
  return found;
}

type Refuse = (kind: RefusalKind, subject: string, message: string, remedy: string) => void;

function versions(goal: FormationGoal, alive: readonly AnsweringNode[], standing: Standing, refuse: Refuse): void {
  const { name, version } = goal.engine;
  for (const node of alive) {
    const is = node.server;
    if (is.name !== name || !`${is.version}.`.startsWith(`${version}.`)) {
      refuse(
        "wrong-engine",
        node.name,
        `${node.name} runs ${is.name} ${is.version}, declared ${name} ${version}`,
        goal.given
          ? "declare the engine that runs, or leave `engine` out; these machines are not replaced or rolled from here, because somebody else provides them: upgrade them one by one yourself"
          : "declare the engine that runs, or start the declared one",
      );
    }
  }
  const kinds = [...new Set(alive.map((n) => `${n.server.name} ${n.server.version}`))].sort();
  if (!standing.formed && kinds.length > 1) {
    refuse(
      "version-mix",
      goal.cluster,
      `the nodes run ${kinds.join(" and ")}`,
      "form a cluster from nodes of one version",
    );
  }
}

/** Before a first formation nothing may hold data or slots, but for what an interrupted formation of this very plan left. */
function strangers(goal: FormationGoal, alive: readonly AnsweringNode[], standing: Standing, refuse: Refuse): void {
  const owning = standing.components.filter((c) => c.some((n) => self(n).slots.length > 0));
  const anyKeys = alive.some((n) => n.keys > 0);
  if (owning.length > 1) {
    const deviating = differingSlots(goal, alive);
    if (anyKeys || deviating.length > 0) {
      const parts = owning.map(
        (c) =>
          `${c.map((n) => n.name).join("+")} (${c.reduce((sum, n) => sum + countSlots(self(n).slots), 0)} slots, ${c.reduce((sum, n) => sum + n.keys, 0)} keys)`,
      );
      refuse(
        "two-clusters",
        goal.cluster,
        `the nodes form ${owning.length} separate clusters that own slots: ${parts.join("; ")}`,
        "only one can be kept: empty the nodes of the other (CLUSTER RESET HARD after FLUSHALL, by hand, once you are sure) or give this cluster fresh nodes",
      );
    }
  }
  if (standing.otherLayout) {
    const leaders = alive.filter((n) => self(n).slots.length > 0);
    const shown = leaders.map((n) => `${n.name} ${formatRanges(self(n).slots)}`).join("; ");
    refuse(
      "other-layout",
      goal.cluster,
      `the nodes are one whole cluster already, which this stack has no record of and whose shards are not the declared ones (slots: ${shown}; ${alive.reduce((sum, n) => sum + n.keys, 0)} keys)`,
      "it was made by something else: declare it as it is, or give this cluster fresh nodes; it is not rearranged unasked",
    );
  }
  for (const node of alive) {
    const inOwning = owning.some((c) => c.includes(node));
    if (node.keys > 0 && !inOwning) {
      refuse(
        "data-on-new-node",
        node.name,
        `${node.name} should be empty and holds ${node.keys} keys`,
        "it was used before: move its data away and empty it by hand, or give the cluster a fresh node; nothing is ever flushed",
      );
    }
  }
  if (owning.length === 1 && standing.mainIsOdd) {
    const [main] = owning;
    for (const node of main ?? []) {
      const own = self(node);
      if (own.slots.length > 0)
        refuse(
          "two-clusters",
          node.name,
          `${node.name} already owns slots ${formatRanges(own.slots)}, with other nodes not part of it`,
          "it was used before: reset it by hand (CLUSTER RESET HARD) once you are sure that nothing on it is needed, or give the cluster a fresh node",
        );
    }
  }
}

/**
 * Replication follows an address, not an ID: a master that came back empty at its old address hands its emptiness to its
 * replica. Electing that one would hide the loss. Where no node holds a key, there was probably none.
 */
function emptiedReplicas(members: readonly Member[], alive: readonly AnsweringNode[], refuse: Refuse): void {
  if (alive.every((n) => n.keys === 0)) return;
  for (const member of staleMembers(members, alive)) {
    const slots = alive.flatMap((n) => n.view.find((e) => e.id === member.id)?.slots ?? []);
    const replicas = alive.filter((n) => self(n).role === "replica" && self(n).masterId === member.id);
    if (slots.length === 0 || replicas.length === 0 || replicas.some((n) => n.keys > 0)) continue;
    const names = replicas.map((n) => n.name).join(", ");
    refuse(
      "data-lost",
      member.name,
      `${member.name} came back without its data before its replica was elected, and ${names} followed it and holds no key any more; slots ${formatRanges(toRanges(expandSlots(slots)))} may have held some`,
      `bring back the data folder of ${member.name} or ${names}, or restore a backup; if these slots never held a key, run CLUSTER FAILOVER FORCE on ${replicas[0]?.name} by hand and \`up\` again`,
    );
  }
}

/**
 * A node that knows nobody of the formed cluster and comes with slots. With slots of its own shard it is a member that lost
 * its nodes.conf and kept its data: the shard's leader is newer and wins. So it is with slots on their way to its shard, of which it
 * got keys as its leader did. With any others it was used elsewhere.
 */
function intruders(
  goal: FormationGoal,
  members: readonly Member[],
  alive: readonly AnsweringNode[],
  standing: Standing,
  refuse: Refuse,
): void {
  const owning = standing.components.filter((c) => c.some((n) => self(n).slots.length > 0));
  const main = owning.reduce((a, b) => (b.length > a.length ? b : a), owning[0] ?? []);
  for (const component of owning) {
    if (component === main) continue;
    for (const node of component) {
      const shard = shardOf(goal, node);
      const leaders = main.filter((n) => shard !== undefined && shardOf(goal, n) === shard);
      const ids = new Set(leaders.flatMap((n) => [n.id, self(n).masterId ?? ""]));
      const theirs = new Set(
        main.flatMap((n) => n.view.filter((e) => ids.has(e.id)).flatMap((e) => expandSlots(e.slots))),
      );
      const own = self(node);
      const others = expandSlots(own.slots).filter((slot) => !theirs.has(slot));
      if (others.length === 0) continue;
      const arriving = shard === undefined ? undefined : arrivingSlots(goal, shard, members, alive);
      if (arriving && others.every((slot) => arriving.has(slot))) continue;
      const isMembers = shard !== undefined && others.length < countSlots(own.slots);
      refuse(
        "two-clusters",
        node.name,
        `${node.name} owns slots ${formatRanges(own.slots)} and knows nobody of ${goal.cluster}, which is formed without it${isMembers ? `; of these, ${formatRanges(toRanges(others))} ${others.length === 1 ? "is" : "are"} not of ${shard}, and no open slot tells of a move there` : ""}`,
        `it was used elsewhere: reset it by hand (CLUSTER RESET HARD) once you are sure that nothing on it is needed, or give the cluster a fresh node; joining them would merge two clusters${isMembers ? `. If it is the node of ${shard} that lost its nodes.conf, those keys came with a move that was cut short, and its shard's leader has them too: look there (CLUSTER COUNTKEYSINSLOT), then start it with an empty data folder, and it copies all of them` : ""}`,
      );
    }
  }
}

/** Of what remains after a scale-in, no more than this may be full: the rest is for what is written meanwhile. */
const FULL_ENOUGH = 0.9;

/** Masters that leave give their keys to the ones that stay; those must have room, or they would evict or refuse. */
function memory(goal: FormationGoal, observation: ClusterObservation, refuse: Refuse): void {
  const going = answering(observation).filter(
    (n) =>
      n.leaving &&
      self(n).role === "master" &&
      countSlots(self(n).slots) > 0 &&
      !goal.plan.shards.some((s) => s.name === n.leaving?.shard),
  );
  const staying = layoutOf(goal, observation).flatMap(({ leader }) => leader ?? []);
  if (going.length === 0 || staying.length === 0 || staying.some((n) => n.memory.maxBytes === 0)) return;
  const used = [...going, ...staying].reduce((sum, n) => sum + n.memory.usedBytes, 0);
  const room = staying.reduce((sum, n) => sum + n.memory.maxBytes, 0);
  if (used <= room * FULL_ENOUGH) return;
  const mib = (bytes: number) => `${Math.ceil(bytes / 1024 / 1024)} MiB`;
  refuse(
    "no-memory",
    goal.cluster,
    `${going.length + staying.length} masters hold ${mib(used)}, and the ${staying.length} that stay have maxmemory for ${mib(room)}, of which ${FULL_ENOUGH * 100} % may be used`,
    "raise maxmemory (with machines that have it) or keep more masters",
  );
}

/** After a cluster was formed, slots without an owner mean that data are gone; that is never filled with emptiness unasked. */
function lostSlots(alive: readonly AnsweringNode[], standing: Standing, refuse: Refuse): void {
  if (standing.lost.length === 0 || alive.length === 0) return;
  refuse(
    "data-lost",
    "slots",
    `${countSlots(standing.lost)} slots have no owner any more, and no node holds a copy of their keys: ${formatRanges(standing.lost)}`,
    "bring back the data folder of the node that owned them, or restore a backup; an empty owner would hide the loss",
  );
}
