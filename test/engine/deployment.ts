import { planDeletions, runDeletions } from "./deletions";
import type { Events } from "./events";
import { Executor } from "./executor";
import { Bail, Generator } from "./generator";
import { Graph } from "./graph";
import type { Journal } from "./journal";
import type { CheckResult, DiffResult, ResourceProvider } from "./provider";
import type { Providers } from "./providers";
import { dependenciesOf, type Goal, providerUrn, qualifiedTypeOf, type State, stackType } from "./resource";
import type { Sdk } from "./sdk";
import type { Snapshot } from "./state";
import { type Done, type Operation, type Outcome, refresh, type Step } from "./steps";
import type { Targets } from "./targets";
import { deepEquals, type Properties, unwrap } from "./values";

export interface DeploymentOptions {
  readonly sdk: Sdk;
  readonly project: string;
  readonly stack: string;
  readonly dryRun: boolean;
  readonly refreshOnly: boolean;
  readonly continueOnError: boolean;
  readonly targets: Targets;
  readonly targetDependents: boolean;
  readonly base: Snapshot;
  /** Absent in previews: these change nothing. */
  readonly journal: Journal | undefined;
  readonly events: Events;
  readonly providers: Providers;
}

export interface Registered {
  readonly outcome: Outcome;
  readonly state: State;
  readonly unknown: boolean;
}

/** Thrown into calls that still wait when the run has stopped; the monitor answers them UNAVAILABLE. */
export class Stopped extends Error {}

/** One operation on one stack: what the program wants, against what is there. */
export class Deployment {
  readonly sdk: Sdk;
  readonly project: string;
  readonly stack: string;
  readonly dryRun: boolean;
  readonly refreshOnly: boolean;
  readonly continueOnError: boolean;
  readonly targets: Targets;
  readonly targetDependents: boolean;
  readonly base: Snapshot;
  readonly journal: Journal | undefined;
  readonly events: Events;
  readonly executor: Executor;
  readonly generator: Generator;
  readonly changes: Partial<Record<Operation, number>> = {};
  /** By URN, what is there before; resources that only wait to be deleted are not found here. */
  olds = new Map<string, State>();
  readonly news = new Map<string, State>();
  graph: Graph;
  sawError = false;
  canceled = false;
  readonly #providers: Providers;
  readonly #skipped = new Set<string>();
  readonly whenStopped: Promise<never>;
  #rejectStopped: (error: Error) => void = () => {};
  #stopped = false;
  #turn: Promise<unknown> = Promise.resolve();
  #stackOutputs: { urn: string; outputs: Properties } | undefined;

  constructor(options: DeploymentOptions) {
    this.sdk = options.sdk;
    this.project = options.project;
    this.stack = options.stack;
    this.dryRun = options.dryRun;
    this.refreshOnly = options.refreshOnly;
    this.continueOnError = options.continueOnError;
    this.targets = options.targets;
    this.targetDependents = options.targetDependents;
    this.base = options.base;
    this.journal = options.journal;
    this.events = options.events;
    this.#providers = options.providers;
    this.executor = new Executor(this);
    this.generator = new Generator(this);
    this.graph = new Graph(this.base.resources);
    this.#index();
    this.whenStopped = new Promise((_, reject) => {
      this.#rejectStopped = reject;
    });
    this.whenStopped.catch(() => {});
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  get failed(): boolean {
    return this.sawError || this.executor.sawError || this.canceled;
  }

  /** Nothing new is begun from now on; what runs is finished. */
  stop(): void {
    this.#stopped = true;
    this.#rejectStopped(new Stopped("the run has stopped"));
  }

  count(op: Operation): void {
    this.changes[op] = (this.changes[op] ?? 0) + 1;
  }

  /** The provider for a resource, configured as its provider resource says now. */
  providerOf(state: State): Promise<ResourceProvider> {
    const urn = providerUrn(state.provider ?? "");
    const provider = this.news.get(urn) ?? this.olds.get(urn);
    if (!provider) throw new Error(`the provider ${urn} of ${state.urn} is not in the state`);
    return this.#providers.get(provider.type, provider.inputs);
  }

  checkProvider(state: State, inputs: Properties): CheckResult {
    return this.#providers.checkConfig(state.type, inputs);
  }

  async diff(
    state: State,
    oldInputs: Properties,
    oldOutputs: Properties,
    news: Properties,
    ignored: string[],
    id = state.id,
  ): Promise<DiffResult> {
    const provider = await this.providerOf(state);
    const diff = await provider.diff(state.urn, id ?? "", oldInputs, oldOutputs, news, ignored);
    if (diff.changes !== "unknown") return diff;
    const keys = new Set([...Object.keys(oldInputs), ...Object.keys(news)]);
    diff.changedKeys = [...keys].filter(
      (key) => !deepEquals(unwrap(oldInputs[key] ?? null), unwrap(news[key] ?? null)),
    );
    diff.changes = diff.changedKeys.length > 0 ? "some" : "none";
    return diff;
  }

  /** Called for every registration; resolves when the resource is what the program asked for. */
  register(goal: Goal): Promise<Registered> {
    return Promise.race([
      this.whenStopped,
      new Promise<Registered>((resolve, reject) => {
        const done: Done = (outcome, state, unknown) => resolve({ outcome, state, unknown: unknown === true });
        this.#serially(async () => {
          const steps = await this.generator.generate(goal, done);
          const chain = this.continueOnError ? this.#withoutSkipped(steps) : steps;
          if (chain.length > 0) void this.executor.submit(chain);
        }, `${goal.type} ${goal.name}`).catch(reject);
      }),
    ]);
  }

  registerOutputs(urn: string, outputs: Properties): Promise<void> {
    return Promise.race([
      this.whenStopped,
      this.#serially(async () => {
        // The stack's outputs are decided at the end, when it is known whether all went well.
        if (qualifiedTypeOf(urn) === stackType) this.#stackOutputs = { urn, outputs };
        else this.#setOutputs(urn, outputs);
      }, urn),
    ]);
  }

  /** One at a time: what a registration is decided on must not change meanwhile. */
  #serially<T>(work: () => Promise<T>, what: string): Promise<T> {
    const turn = this.#turn.then(async () => {
      if (this.#stopped) throw new Stopped("the run has stopped");
      try {
        return await work();
      } catch (error) {
        this.sawError = true;
        if (!(error instanceof Bail) && !(error instanceof Stopped))
          this.events.error(`${what}: ${(error as Error).message}`);
        this.stop();
        throw new Stopped((error as Error).message);
      }
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #withoutSkipped(steps: Step[]): Step[] {
    for (const step of this.executor.erroredSteps) this.#skipped.add(step.urn);
    return steps.filter((step) => {
      const state = step.new ?? step.old;
      if (!state) return true;
      const { provider: _, ...rest } = state;
      if (![...dependenciesOf(rest), state.parent ?? ""].some((urn) => this.#skipped.has(urn))) return true;
      this.#skipped.add(step.urn);
      if (step.new) step.done?.("skipped", step.new);
      return false;
    });
  }

  #setOutputs(urn: string, outputs: Properties): void {
    const step = this.executor.registered.get(urn);
    if (!step?.new) throw new Error(`cannot complete a resource '${urn}' whose registration isn't pending`);
    this.executor.registered.delete(urn);
    if (step.skippedCreate) return;
    step.new.outputs = outputs;
    this.events.emit({ kind: "out", step: this.executor.info(step) });
    this.journal?.save();
  }

  /** The program has registered everything: delete what it does not want any more. */
  async finish(): Promise<void> {
    await this.#serially(async () => {
      await this.executor.idle();
      if (this.#stopped) return;
      const { kept, deletions } = await planDeletions(this, this.generator);
      await this.executor.submit(kept);
      await runDeletions(this, deletions);
    }, "deleting").catch((error: unknown) => {
      if (!(error instanceof Stopped)) throw error;
    });
  }

  /** After everything else, failed or not. */
  async close(): Promise<void> {
    await this.executor.idle();
    if (!this.#stackOutputs) return;
    const { urn, outputs } = this.#stackOutputs;
    if (!this.executor.registered.has(urn)) return;
    // After a failure an output that is missing may just not have been reached.
    this.#setOutputs(urn, this.failed ? { ...this.olds.get(urn)?.outputs, ...outputs } : outputs);
  }

  /** Reads every resource, and goes on from what is really there. */
  async refresh(): Promise<void> {
    this.checkTargets();
    const steps = this.base.resources
      .filter((state) => !this.targets.constrained || this.targets.includesExactly(state.urn))
      .map(refresh);
    await Promise.all(steps.map((step) => this.executor.submit([step])));
    const results = new Map(steps.map((step) => [step.old as State, step.new]));
    const resources: State[] = [];
    const present = new Set<string>();
    for (const state of this.base.resources) {
      const read = results.has(state) ? results.get(state) : state;
      if (!read) continue;
      resources.push(withoutDangling(read, present));
      present.add(read.urn);
    }
    this.base.resources = resources;
    this.graph = new Graph(resources);
    this.#index();
    if (this.executor.sawError) this.stop();
  }

  checkTargets(alsoNew = false): void {
    for (const urn of this.targets.literals) {
      if (this.olds.has(urn) || (alsoNew && this.generator.urns.has(urn))) continue;
      this.sawError = true;
      const hint = urn.includes("$") ? "" : " Did you forget to escape $ in your shell?";
      this.events.error(`Target '${urn}' could not be found in the stack.${hint}`);
    }
    if (this.sawError) this.stop();
  }

  #index(): void {
    this.olds = new Map(this.base.resources.filter((state) => !state.delete).map((state) => [state.urn, state]));
  }
}

/** References to resources that a refresh found gone. The list is in topological order, so those before are known. */
function withoutDangling(state: State, present: Set<string>): State {
  const exists = (urn: string) => present.has(urn);
  const propertyDependencies = Object.entries(state.propertyDependencies).map(
    ([key, urns]) => [key, urns.filter(exists)] as const,
  );
  const complete = state.dependencies.every(exists) && Object.values(state.propertyDependencies).flat().every(exists);
  if (complete && (!state.deletedWith || exists(state.deletedWith))) return state;
  const { deletedWith, ...rest } = state;
  return {
    ...rest,
    dependencies: state.dependencies.filter(exists),
    propertyDependencies: Object.fromEntries(propertyDependencies.filter(([, urns]) => urns.length > 0)),
    ...(deletedWith && exists(deletedWith) ? { deletedWith } : {}),
  };
}
