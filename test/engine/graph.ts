import { dependenciesOf, type State } from "./resource";

/** Dependencies between the resources of a state. The list is in topological order, which the walks rely on. */
export class Graph {
  readonly #resources: State[];
  /** Refresh replaces a state by a new object with the same place in the graph. */
  readonly #index = new Map<State, number>();

  constructor(resources: State[]) {
    this.#resources = resources;
    for (const [i, state] of resources.entries()) this.#index.set(state, i);
  }

  contains(state: State): boolean {
    return this.#index.has(state);
  }

  /** All resources that depend on `root`, directly or not, in topological order. */
  dependants(root: State, ignore: Set<string> = new Set(), withChildren = false): State[] {
    const found = new Set([root.urn]);
    return this.#resources.slice((this.#index.get(root) ?? -1) + 1).filter((candidate) => {
      if (ignore.has(candidate.urn)) return false;
      const parent = withChildren && candidate.parent !== undefined && found.has(candidate.parent);
      if (!parent && !dependenciesOf(candidate).some((urn) => found.has(urn))) return false;
      found.add(candidate.urn);
      return true;
    });
  }

  /** What `state` directly depends on, its parent included, and a component with all that it holds. */
  dependencies(state: State): Set<State> {
    const urns = new Set(dependenciesOf(state));
    const end = this.#index.get(state) ?? this.#resources.length;
    const result = new Set<State>();
    for (const candidate of this.#resources.slice(0, end)) {
      if (candidate.urn === state.parent) result.add(candidate);
      if (!urns.has(candidate.urn)) continue;
      result.add(candidate);
      if (!candidate.custom) for (const child of this.#descendants(candidate, end)) result.add(child);
    }
    return result;
  }

  transitiveDependencies(state: State): Set<State> {
    const result = new Set<State>();
    const pending = [state];
    for (let next = pending.pop(); next; next = pending.pop()) {
      for (const dependency of this.dependencies(next)) {
        if (result.has(dependency)) continue;
        result.add(dependency);
        pending.push(dependency);
      }
    }
    return result;
  }

  #descendants(root: State, end: number): State[] {
    const parents = new Set([root.urn]);
    return this.#resources.slice(0, end).filter((candidate) => {
      if (!candidate.parent || !parents.has(candidate.parent)) return false;
      parents.add(candidate.urn);
      return true;
    });
  }
}
