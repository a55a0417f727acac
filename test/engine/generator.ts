import type { Deployment } from "./deployment";
import type { CheckResult, DiffResult } from "./provider";
import { type Goal, isDefaultProvider, isProviderType, makeUrn, providerUrn, type State } from "./resource";
import { create, type Done, remove, replace, type Step, same, update } from "./steps";
import {
  deepEquals,
  isSecret,
  type Properties,
  parsePath,
  resetPath,
  structuredCloneValue,
  type Value,
} from "./values";

/** The run cannot go on, and why was said already. */
export class Bail extends Error {}

/** Turns what the program registers into steps: one registration at a time, as in the real engine. */
export class Generator {
  readonly #deployment: Deployment;
  readonly urns = new Set<string>();
  /** Registered, by what became of it: none of these can depend on a resource that comes later. */
  readonly #settled = new Set<string>();
  /** Deleted in this run. One that is registered afterwards was replaced because of something that it depends on. */
  readonly deletes = new Set<string>();
  readonly pendingDeletes = new Set<State>();
  readonly skippedCreates = new Set<string>();
  readonly #replaces = new Set<string>();
  readonly #replaceKeys = new Map<string, string[]>();

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
  }

  isOperatedOn(urn: string): boolean {
    return this.#settled.has(urn) || this.deletes.has(urn) || this.#replaces.has(urn);
  }

  async generate(goal: Goal, done: Done): Promise<Step[]> {
    const deployment = this.#deployment;
    const urn = makeUrn(deployment.stack, deployment.project, goal.parent, goal.type, goal.name);
    if (this.urns.has(urn)) throw new Error(`Duplicate resource URN '${urn}'; try giving it a unique name`);
    const { old, alias } = this.#findOld(urn, goal);
    this.urns.add(urn);
    const next = newState(urn, goal, old, alias);
    const included = deployment.targets.includes(urn);
    if (!included) return this.#leaveOut(old, next, done);

    const missing = [next.parent ?? "", ...next.dependencies].find((dependency) => this.skippedCreates.has(dependency));
    if (missing) {
      deployment.events.error(
        `Resource '${urn}' depends on '${missing}' which was was not specified in --target list.`,
        urn,
      );
      if (!deployment.dryRun) throw new Bail();
      deployment.sawError = true;
    }
    const recreating = this.deletes.has(urn);
    const program = next.inputs;
    next.inputs = await this.#check(next, recreating ? undefined : old, program, goal.ignoreChanges);
    if (recreating && old) {
      this.deletes.delete(urn);
      this.#replaces.add(urn);
      const keys = this.#replaceKeys.get(urn) ?? [];
      return [replace(old, next, []), create(next, done, { old, keys, deleteLater: false })];
    }
    if (old) return await this.#changes(goal, old, next, program, done);
    this.#settled.add(urn);
    return [create(next, done)];
  }

  #findOld(urn: string, goal: Goal): { old?: State; alias?: string } {
    for (const candidate of [urn, ...goal.aliases]) {
      const old = this.#deployment.olds.get(candidate);
      if (!old) continue;
      if (candidate === urn) return { old };
      if (this.urns.has(candidate))
        throw new Error(`resource '${urn}' has the alias '${candidate}', which is registered itself`);
      this.#settled.add(candidate);
      return { old, alias: candidate };
    }
    return {};
  }

  /** Not a target: stays as it is, or does not come to be. */
  #leaveOut(old: State | undefined, next: State, done: Done): Step[] {
    this.#settled.add(next.urn);
    if (!old) {
      this.skippedCreates.add(next.urn);
      return [same(next, next, done, true)];
    }
    // Whatever it depends on goes into the state before it, though nothing may register it any more.
    const steps: Step[] = [];
    const keep = (state: State) => {
      for (const urn of [
        state.parent ?? "",
        state.provider ? providerUrn(state.provider) : "",
        ...state.dependencies,
      ]) {
        const dependency = this.#deployment.olds.get(urn);
        if (!dependency || dependency.delete || this.urns.has(urn) || this.#settled.has(urn)) continue;
        this.#settled.add(urn);
        keep(dependency);
        steps.push(same(dependency, { ...dependency }));
      }
    };
    keep(old);
    return [...steps, same(old, { ...old, urn: next.urn, ...(next.aliases ? { aliases: next.aliases } : {}) }, done)];
  }

  async #check(next: State, old: State | undefined, program: Properties, ignoreChanges: string[]): Promise<Properties> {
    const deployment = this.#deployment;
    const inputs = old ? ignore(program, old.inputs, ignoreChanges) : program;
    if (!next.custom) return inputs;
    const checked: CheckResult = isProviderType(next.type)
      ? deployment.checkProvider(next, inputs)
      : await (await deployment.providerOf(next)).check(next.urn, old?.inputs ?? {}, inputs);
    for (const { property, reason } of checked.failures) {
      const name = next.urn.split("::").pop();
      const value = checked.inputs[property];
      const shown = isSecret(value) ? "[secret]" : `{${typeof value === "string" ? value : JSON.stringify(value)}}`;
      const what = property
        ? `: property ${property} value ${shown} has a problem: ${reason}`
        : ` is invalid: ${reason}`;
      deployment.events.error(`${next.type} resource '${name}'${what}`, next.urn);
    }
    if (checked.failures.length > 0) throw new Bail();
    return checked.inputs;
  }

  async #changes(goal: Goal, old: State, next: State, program: Properties, done: Done): Promise<Step[]> {
    const { urn } = next;
    const diff = await this.#diff(goal, old, next);
    const hasInitErrors = (old.initErrors?.length ?? 0) > 0;
    const replaces = diff.replaces.length > 0;
    if ((diff.changes === "some" && replaces) || old.pendingReplacement)
      return this.#replacement(goal, old, next, program, diff, done);
    this.#settled.add(urn);
    if (diff.changes === "some" || hasInitErrors) return [update(old, next, done)];
    return [same(old, next, done)];
  }

  async #diff(goal: Goal, old: State, next: State): Promise<DiffResult> {
    const replaced = (key: string): DiffResult => ({
      changes: "some",
      replaces: [key],
      deleteBeforeReplace: false,
      changedKeys: [],
    });
    if (next.deletedWith && this.#replaces.has(next.deletedWith)) return replaced("deletedWith");
    // Provider references hold an ID; the default provider of a package is the same one whatever its ID.
    const [before, now] = [providerUrn(old.provider ?? ""), providerUrn(next.provider ?? "")];
    if (before !== now && !(isDefaultProvider(before) && isDefaultProvider(now))) return replaced("provider");
    if (!next.custom || isProviderType(next.type)) {
      const changes = deepEquals(old.inputs, next.inputs) ? "none" : "some";
      return { changes, replaces: [], deleteBeforeReplace: false, changedKeys: [] };
    }
    const diff = await this.#deployment.diff(
      next,
      old.inputs,
      old.outputs ?? {},
      next.inputs,
      goal.ignoreChanges,
      old.id,
    );
    if (diff.changes === "some") diff.replaces.push(...replacedOnChanges(diff, goal.replaceOnChanges));
    if ((old.initErrors?.length ?? 0) > 0 && goal.replaceOnChanges.includes("*")) {
      return { ...diff, changes: "some", replaces: [...diff.replaces, "#initerror"] };
    }
    return diff;
  }

  async #replacement(
    goal: Goal,
    old: State,
    next: State,
    program: Properties,
    diff: DiffResult,
    done: Done,
  ): Promise<Step[]> {
    const { urn } = next;
    if (next.protect && old.protect) this.#refuseProtected(urn, `unable to replace resource "${urn}"\nas it is`);
    this.#replaces.add(urn);
    // Whatever `check` carried over from the old resource does not hold for a new one.
    next.inputs = await this.#check(next, undefined, program, []);
    const keys = diff.replaces;
    if (!(goal.deleteBeforeReplace ?? diff.deleteBeforeReplace)) {
      return [create(next, done, { old, keys, deleteLater: true }), replace(old, next, keys)];
    }
    const steps: Step[] = [];
    for (const dependant of (await this.dependantReplacements(old)).reverse()) {
      if (this.pendingDeletes.has(dependant.state)) continue;
      const { state } = dependant;
      this.#replaceKeys.set(state.urn, dependant.keys);
      if (state.protect && !state.delete) {
        this.#refuseProtected(
          urn,
          `unable to replace resource "${state.urn}" as part of replacing "${urn}" as it is`,
          true,
        );
      }
      steps.push(state.delete ? remove(state, this.deletes) : remove(state, this.deletes, "before"));
      this.deletes.add(state.urn);
      this.pendingDeletes.add(state);
    }
    if (!old.pendingReplacement) {
      // Seen by those that are deleted with it, whose own delete is then not called.
      this.deletes.add(old.urn);
      steps.push(remove(old, this.deletes, "before"));
    }
    return [...steps, replace(old, next, keys), create(next, done, { old, keys, deleteLater: false })];
  }

  #refuseProtected(urn: string, start: string, always = false): void {
    const advice = "remove the `protect` flag from the resource in your Pulumi program and run `up`";
    this.#deployment.events.error(
      `${start} currently marked for protection. To unprotect the resource, ${advice}`,
      urn,
    );
    this.#deployment.sawError = true;
    if (always || !this.#deployment.dryRun) throw new Bail();
  }

  /**
   * The dependants of `root` that would have to be replaced if it were deleted: those whose provider, asked with unknowns
   * for whatever came from a replaced resource, answers so. In dependency order.
   */
  async dependantReplacements(root: State): Promise<{ state: State; keys: string[] }[]> {
    const deployment = this.#deployment;
    const result: { state: State; keys: string[] }[] = [];
    const replaced = new Set([root.urn]);
    // What was registered before cannot depend on what is registered now, whatever the old state says.
    const settled = new Set([...this.#settled, ...this.deletes, ...this.#replaces]);
    if (!deployment.graph.contains(root)) return result;
    for (const state of deployment.graph.dependants(root, settled)) {
      const keys = await this.#replacedWith(state, replaced);
      if (!keys) continue;
      replaced.add(state.urn);
      result.push({ state, keys });
    }
    return result;
  }

  async #replacedWith(state: State, replaced: Set<string>): Promise<string[] | undefined> {
    const deployment = this.#deployment;
    if (!state.custom || state.external) return undefined;
    if (state.provider && replaced.has(providerUrn(state.provider))) return [];
    if (state.deletedWith && replaced.has(state.deletedWith)) return [];
    // A provider with other arguments is the same one, configured anew.
    if (isProviderType(state.type)) return undefined;
    const changed = (key: string) => state.propertyDependencies[key]?.some((urn) => replaced.has(urn)) ?? false;
    if (!Object.keys(state.inputs).some(changed)) return undefined;
    const entries = Object.entries(state.inputs).map(([key, value]): [string, Value] => [
      key,
      changed(key) ? deployment.sdk.unknown : value,
    ]);
    const inputs = Object.fromEntries(entries);
    const diff = await deployment.diff(state, state.inputs, state.outputs ?? {}, inputs, state.ignoreChanges ?? []);
    if (diff.changes === "some") diff.replaces.push(...replacedOnChanges(diff, state.replaceOnChanges ?? []));
    return diff.replaces.length > 0 ? diff.replaces : undefined;
  }
}

function newState(urn: string, goal: Goal, old: State | undefined, alias: string | undefined): State {
  return {
    urn,
    custom: goal.custom,
    type: goal.type,
    inputs: goal.properties,
    dependencies: goal.dependencies,
    propertyDependencies: goal.propertyDependencies,
    ...(goal.parent ? { parent: goal.parent } : {}),
    ...(goal.protect ? { protect: true } : {}),
    ...(goal.provider ? { provider: goal.provider } : {}),
    ...(goal.additionalSecretOutputs.length ? { additionalSecretOutputs: goal.additionalSecretOutputs } : {}),
    ...(goal.retainOnDelete ? { retainOnDelete: true } : {}),
    ...(goal.deletedWith ? { deletedWith: goal.deletedWith } : {}),
    ...(goal.ignoreChanges.length ? { ignoreChanges: goal.ignoreChanges } : {}),
    ...(goal.replaceOnChanges.length ? { replaceOnChanges: goal.replaceOnChanges } : {}),
    ...(alias ? { aliases: [alias] } : {}),
    ...(old?.created ? { created: old.created } : {}),
    ...(old?.modified ? { modified: old.modified } : {}),
  };
}

function ignore(inputs: Properties, old: Properties, paths: string[]): Properties {
  if (paths.length === 0) return inputs;
  const result = structuredCloneValue(inputs) as Properties;
  for (const path of paths) resetPath(parsePath(path), old, result);
  return result;
}

/**
 * The keys among the changed ones that `replaceOnChanges` names. Only a provider without a `diff` of its own has any:
 * what a dynamic provider's `diff` answers names no keys, and the real engine does not look further either.
 */
function replacedOnChanges(diff: DiffResult, paths: string[]): string[] {
  return diff.changedKeys.filter((key) => paths.some((path) => ["*", key].includes(String(parsePath(path).join(".")))));
}
