import { differingSlots, type Standing } from "./standing";
import { foreignNodes } from "./assess";
import type { FormationGoal, Member } from "./goal";
import { type AnsweringNode, type ClusterObservation, answering, self } from "./observation";
import { countSlots, formatRanges } from "./slots";

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
  | "data-lost";

/** Reasons not to touch this cluster at all, checked before each batch of steps. All of them are reported together. */
export function refusals(goal: FormationGoal, members: readonly Member[], observation: ClusterObservation, standing: Standing): Refusal[] {
  const alive = answering(observation);
  const found: Refusal[] = [];
  const refuse = (kind: RefusalKind, subject: string, message: string, remedy: string) => found.push({ kind, subject, message, remedy });

  for (const node of observation.nodes) {
    if (node.answering) continue;
    const where = `${node.endpoint.address}:${node.endpoint.port}`;
    refuse("silent-node", node.name, `${node.name} at ${where} does not answer: ${node.reason}`, "start the server, or let this machine reach that address, and run `up` again; a silent node is never taken for a lost one");
  }
  const twins = new Map<string, string>();
  for (const node of alive) {
    if (!node.server.clusterEnabled) refuse("not-cluster-mode", node.name, `${node.name} runs without cluster mode`, "start it with `cluster-enabled yes`");
    const twin = twins.get(node.id);
    if (twin !== undefined) refuse("duplicate-id", node.name, `${node.name} and ${twin} have the same node ID ${node.id}`, "one data folder was copied from the other, or two names share an address: give each node its own nodes.conf");
    twins.set(node.id, node.name);
  }
  for (const [id, seen] of foreignNodes(members, alive)) {
    refuse("foreign-node", id, `${seen.by.join(", ")} ${seen.by.length === 1 ? "knows" : "know"} node ${id} at ${seen.address}, which is not of ${goal.cluster}`, "an address was reused, or the node belongs to another cluster: give the cluster fresh nodes, or take the node out of the other cluster first; joining them would merge two clusters");
  }
  versions(goal, alive, standing, refuse);
  if (!standing.formed) strangers(goal, alive, standing, refuse);
  else lostSlots(alive, standing, refuse);
  return found;
}

type Refuse = (kind: RefusalKind, subject: string, message: string, remedy: string) => void;

function versions(goal: FormationGoal, alive: readonly AnsweringNode[], standing: Standing, refuse: Refuse): void {
  const { name, version } = goal.engine;
  for (const node of alive) {
    const is = node.server;
    if (is.name !== name || !`${is.version}.`.startsWith(`${version}.`)) {
      refuse("wrong-engine", node.name, `${node.name} runs ${is.name} ${is.version}, declared ${name} ${version}`, "declare the engine that runs, or start the declared one");
    }
  }
  const kinds = [...new Set(alive.map((n) => `${n.server.name} ${n.server.version}`))].sort();
  if (!standing.formed && kinds.length > 1) {
    refuse("version-mix", goal.cluster, `the nodes run ${kinds.join(" and ")}`, "form a cluster from nodes of one version");
  }
}

/** Before a first formation nothing may hold data or slots, but for what an interrupted formation of this very plan left. */
function strangers(goal: FormationGoal, alive: readonly AnsweringNode[], standing: Standing, refuse: Refuse): void {
  const owning = standing.components.filter((c) => c.some((n) => self(n).slots.length > 0));
  const anyKeys = alive.some((n) => n.keys > 0);
  if (owning.length > 1) {
    const deviating = differingSlots(goal, alive);
    if (anyKeys || deviating.length > 0) {
      const parts = owning.map((c) => `${c.map((n) => n.name).join("+")} (${c.reduce((sum, n) => sum + countSlots(self(n).slots), 0)} slots, ${c.reduce((sum, n) => sum + n.keys, 0)} keys)`);
      refuse("two-clusters", goal.cluster, `the nodes form ${owning.length} separate clusters that own slots: ${parts.join("; ")}`, "only one can be kept: empty the nodes of the other (CLUSTER RESET HARD after FLUSHALL, by hand, once you are sure) or give this cluster fresh nodes");
    }
  }
  for (const node of alive) {
    const inOwning = owning.some((c) => c.includes(node));
    if (node.keys > 0 && !inOwning) {
      refuse("data-on-new-node", node.name, `${node.name} should be empty and holds ${node.keys} keys`, "it was used before: move its data away and empty it by hand, or give the cluster a fresh node; nothing is ever flushed");
    }
  }
  if (owning.length === 1 && standing.mainIsOdd) {
    const [main] = owning;
    for (const node of main ?? []) {
      const own = self(node);
      if (own.slots.length > 0) refuse("two-clusters", node.name, `${node.name} already owns slots ${formatRanges(own.slots)}, with other nodes not part of it`, "it was used before: reset it by hand (CLUSTER RESET HARD) once you are sure that nothing on it is needed, or give the cluster a fresh node");
    }
  }
}

/** After a cluster was formed, slots without an owner mean that data are gone; that is never filled with emptiness unasked. */
function lostSlots(alive: readonly AnsweringNode[], standing: Standing, refuse: Refuse): void {
  if (standing.lost.length === 0 || alive.length === 0) return;
  refuse("data-lost", "slots", `${countSlots(standing.lost)} slots have no owner any more, and no node holds a copy of their keys: ${formatRanges(standing.lost)}`, "bring back the data folder of the node that owned them, or restore a backup; an empty owner would hide the loss");
}
