import type { FormationGoal } from "./goal";

/** How long nothing may change before a run gives up, in milliseconds: four node timeouts, 15 s to 120 s. */
export function defaultPatience({ nodeTimeoutMilliseconds }: Pick<FormationGoal, "nodeTimeoutMilliseconds">): number {
  return Math.min(120_000, Math.max(15_000, 4 * nodeTimeoutMilliseconds));
}
