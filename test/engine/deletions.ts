import type { Deployment } from "./deployment";
import { Bail, type Generator } from "./generator";
import type { Graph } from "./graph";
import type { State } from "./resource";
import { remove, removePendingReplace, type Step, same } from "./steps";

/** Steps for what is left of the old state once the program has registered everything: it goes, or stays untouched. */
export async function planDeletions(
  deployment: Deployment,
  generator: Generator,
): Promise<{ kept: Step[]; deletions: Step[] }> {
  const { targets } = deployment;
  const allowed = await allowedToGo(deployment, generator);
  const kept: Step[] = [];
  const deletions: Step[] = [];
  for (const state of deployment.base.resources) {
    if (!allowed(state)) {
      if (!generator.isOperatedOn(state.urn)) kept.push(same(state, { ...state }));
      continue;
    }
    if (state.delete) {
      if (generator.pendingDeletes.has(state)) continue;
      generator.deletes.add(state.urn);
      deletions.push(remove(state, generator.deletes, "after"));
    } else if (!generator.isOperatedOn(state.urn)) {
      generator.deletes.add(state.urn);
      deletions.push(state.pendingReplacement ? removePendingReplace(state) : remove(state, generator.deletes));
    }
  }
  if (!targets.targeted || deployment.targetDependents) return { kept, deletions };
  const others = deletions.filter((step) => !targets.names(step.urn));
  for (const { urn } of others) {
    deployment.events.error(
      `Resource '${urn}' will be destroyed but was not specified in --target list. Either include resource in --target list or pass --target-dependents to proceed.`,
      urn,
    );
    deployment.sawError = true;
  }
  if (others.length > 0 && !deployment.dryRun) throw new Bail();
  return { kept, deletions };
}

async function allowedToGo(deployment: Deployment, generator: Generator): Promise<(state: State) => boolean> {
  const { targets, graph } = deployment;
  if (!targets.constrained) return () => true;
  const roots = deployment.base.resources.filter((state) =>
    targets.targeted ? targets.names(state.urn) : targets.excludes(state.urn),
  );
  const found = new Set<string>();
  for (const root of roots) {
    found.add(root.urn);
    if (targets.targeted) {
      // Nothing can stay that hangs on a target.
      for (const dependant of graph.dependants(root, new Set(), true)) found.add(dependant.urn);
      for (const { state } of await generator.dependantReplacements(root)) found.add(state.urn);
    } else {
      for (const dependency of graph.transitiveDependencies(root)) found.add(dependency.urn);
    }
  }
  return targets.targeted ? (state) => found.has(state.urn) : (state) => !found.has(state.urn);
}

/**
 * Groups deletions so that all of one group can run at once, and each group only after all that depends on it is gone.
 * Providers outlive what they delete, since a resource depends on its provider.
 */
export function scheduleDeletions(graph: Graph, deletions: Step[]): Step[][] {
  const steps = new Map(deletions.map((step) => [step.old as State, step]));
  const groups: Step[][] = [];
  while (steps.size > 0) {
    const free = [...steps.keys()].filter(
      (state) => ![...graph.dependencies(state)].some((dependency) => steps.has(dependency)),
    );
    if (free.length === 0) throw new Error("the state's dependencies form a circle");
    groups.push(free.map((state) => steps.get(state) as Step));
    for (const state of free) steps.delete(state);
  }
  return groups.reverse();
}

/** Runs them. What a resource that could not be deleted depends on stays too. */
export async function runDeletions(deployment: Deployment, deletions: Step[]): Promise<void> {
  const keep = new Set<State>();
  for (const group of scheduleDeletions(deployment.graph, deletions)) {
    for (const { old, new: next } of deployment.executor.erroredSteps) {
      for (const state of [old, next]) {
        if (!state) continue;
        // A resource that failed to be created is in no graph, and nothing of the old state hangs on it.
        if (deployment.graph.contains(state))
          for (const dependency of deployment.graph.transitiveDependencies(state)) keep.add(dependency);
      }
    }
    if (deployment.stopped) return;
    await Promise.all(
      group.filter((step) => !keep.has(step.old as State)).map((step) => deployment.executor.submit([step])),
    );
  }
}
