import { providerUrn, type State } from "./resource";
import type { PendingOperation, Snapshot } from "./state";

/**
 * What the state is while an operation runs: the resources done so far, in the order they were done, and what is left
 * of the old ones. It is saved after each step, so that a killed run loses nothing that was completed.
 */
export class Journal {
  readonly base: Snapshot;
  readonly #save: (snapshot: Snapshot) => void;
  readonly #resources: State[] = [];
  readonly #done = new Set<State>();
  #pending: PendingOperation[] = [];

  constructor(base: Snapshot, save: (snapshot: Snapshot) => void) {
    this.base = base;
    this.#save = save;
  }

  begin(resource: State, type: PendingOperation["type"]): void {
    this.#pending.push({ resource, type });
    this.save();
  }

  /** `done` is gone or superseded, `added` is in the state from now on; `operated` is what `begin` was called with. */
  end(change: { operated?: State; done?: State | undefined; added?: State | undefined }): void {
    this.#pending = this.#pending.filter(({ resource }) => resource !== change.operated);
    if (change.done) this.#done.add(change.done);
    if (change.added) this.#resources.push(change.added);
    this.save();
  }

  save(): void {
    this.#save(this.snapshot());
  }

  snapshot(): Snapshot {
    const resources = [...this.#resources, ...this.base.resources].filter((state) => !this.#done.has(state));
    return {
      resources: followAliases(resources),
      // An interrupted create may have left something behind that only a human can find: it stays until cleared.
      pendingOperations: [...this.#pending, ...this.base.pendingOperations.filter(({ type }) => type === "creating")],
    };
  }
}

/** A resource that took over an alias has a new URN; those that are not registered (yet) still refer to the old one. */
function followAliases(resources: State[]): State[] {
  const renamed = new Map<string, string>();
  for (const state of resources) {
    if (state.delete) continue;
    for (const alias of state.aliases ?? []) renamed.set(alias, state.urn);
  }
  if (renamed.size === 0) return resources;
  const follow = (urn: string) => renamed.get(urn) ?? urn;
  return resources.map((state) => {
    const result = { ...state, dependencies: state.dependencies.map(follow) };
    result.propertyDependencies = Object.fromEntries(
      Object.entries(state.propertyDependencies).map(([key, urns]) => [key, urns.map(follow)]),
    );
    if (state.parent) result.parent = follow(state.parent);
    if (state.deletedWith) result.deletedWith = follow(state.deletedWith);
    if (state.provider) {
      const urn = providerUrn(state.provider);
      result.provider = `${follow(urn)}${state.provider.slice(urn.length)}`;
    }
    return result;
  });
}
