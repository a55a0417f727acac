import type { FormationGoal, Member } from "./goal";
import { answering, type ClusterObservation } from "./observation";

/** How long nothing may change before a run gives up, in milliseconds: four node timeouts, 15 s to 120 s. */
export function defaultPatience({ nodeTimeoutMilliseconds }: Pick<FormationGoal, "nodeTimeoutMilliseconds">): number {
  return Math.min(120_000, Math.max(15_000, 4 * nodeTimeoutMilliseconds));
}

/**
 * A node that was forgotten by hand is forgotten again for a minute, however often it is met: from 7.2 on a server tells those that it
 * speaks with to forget too (`CLUSTERMSG_EXT_TYPE_FORGOTTEN_NODE`), and each keeps the ID on its blacklist.
 */
const FORGOTTEN_MILLISECONDS = 75_000;

/** Members that answer as before, and that others of the cluster do not list, by name. @param members as the last run left them */
export function forgottenNodes(observation: ClusterObservation, members: readonly Member[]): string[] {
  const recorded = new Set(members.filter((m) => m.state === "member").map((m) => m.id));
  const alive = answering(observation).filter((n) => recorded.has(n.id));
  const listed = alive.map((n) => new Set(n.view.map((e) => e.id)));
  return alive.filter((n) => listed.some((ids) => !ids.has(n.id))).map((n) => n.name);
}

/** How long nothing may change, given what is seen. */
export function patienceFor(forgotten: readonly string[], patience: number): number {
  return forgotten.length > 0 ? Math.max(patience, FORGOTTEN_MILLISECONDS) : patience;
}
