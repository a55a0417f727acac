import type { Deployment } from "./deployment";
import type { StepInfo } from "./events";
import { PartialFailure } from "./provider";
import { isDefaultProvider, type State } from "./resource";
import { ProtectedError, type Step } from "./steps";
import { isSecret, secret } from "./values";

/** As many chains of steps run at once as the CLI's default allows here. */
export const parallelism = 16;

/** Runs chains of steps: each chain in order, several at once; journals and reports every step. */
export class Executor {
  readonly #deployment: Deployment;
  readonly #waiting: (() => void)[] = [];
  readonly #running = new Set<Promise<void>>();
  /** Steps whose resources may still report outputs of their own (components, the stack). */
  readonly registered = new Map<string, Step>();
  readonly erroredSteps: Step[] = [];
  #free = parallelism;
  sawError = false;

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
  }

  submit(chain: Step[]): Promise<void> {
    const run = this.#runChain(chain).catch((error: unknown) => {
      // Not a step that failed but the engine itself, such as a state that cannot be written: nothing more may be done.
      this.sawError = true;
      this.#deployment.events.error(String(error));
      this.#deployment.stop();
    });
    this.#running.add(run);
    void run.finally(() => this.#running.delete(run));
    return run;
  }

  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #runChain(chain: Step[]): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      for (const step of chain) {
        if (this.#deployment.stopped) return;
        if (!(await this.#run(step))) return;
      }
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  async #run(step: Step): Promise<boolean> {
    const deployment = this.#deployment;
    deployment.events.emit({ kind: "pre", step: this.info(step) });
    this.#begin(step);
    let failure: unknown;
    try {
      await step.apply(deployment);
    } catch (error) {
      failure = error ?? new Error("unknown failure");
    }
    if (failure === undefined && step.logical && step.new) this.registered.set(step.urn, step);
    if (step.new && step.op !== "replace") markSecretOutputs(step.new);
    if (step.new && !step.skippedCreate && step.op !== "refresh") deployment.news.set(step.urn, step.new);
    this.#report(step, failure);
    this.#end(step, failure === undefined || failure instanceof PartialFailure);
    if (failure === undefined) {
      if (step.new) step.done?.("ok", step.new, step.skippedCreate);
      return true;
    }
    this.#fail(step, failure);
    return false;
  }

  /** The state says beforehand what is about to be done, so that an interrupted run is seen for what it is. */
  #begin(step: Step): void {
    const journal = this.#deployment.journal;
    if (!journal) return;
    if ((step.op === "create" || step.op === "create-replacement") && step.new) journal.begin(step.new, "creating");
    else if (step.op === "update" && step.new) journal.begin(step.new, "updating");
    else if ((step.op === "delete" || step.op === "delete-replaced") && step.old) journal.begin(step.old, "deleting");
  }

  #end(step: Step, successful: boolean): void {
    const journal = this.#deployment.journal;
    if (!journal) return;
    const { old, new: next } = step;
    switch (step.op) {
      case "same":
        if (successful && !step.skippedCreate) journal.end({ done: old, added: next });
        return;
      case "create":
      case "create-replacement": {
        const superseded = successful && old?.pendingReplacement ? old : undefined;
        journal.end({ ...(next ? { operated: next } : {}), done: superseded, added: successful ? next : undefined });
        return;
      }
      case "update":
        journal.end({ ...(next ? { operated: next } : {}), ...(successful ? { done: old, added: next } : {}) });
        return;
      case "delete":
      case "delete-replaced":
        journal.end({
          ...(old ? { operated: old } : {}),
          done: successful && !old?.pendingReplacement ? old : undefined,
        });
        return;
      case "remove-pending-replace":
        journal.end({ done: old });
        return;
      case "replace":
      case "refresh":
        return;
    }
  }

  #report(step: Step, failure: unknown): void {
    const deployment = this.#deployment;
    const internal = isDefaultProvider(step.urn) || step.op === "remove-pending-replace";
    if (failure !== undefined) {
      deployment.events.error(explain(failure), internal ? "" : step.urn);
      if (!deployment.dryRun) deployment.events.emit({ kind: "failed", step: this.info(step) });
      return;
    }
    const op = deployment.refreshOnly && step.resultOp ? step.resultOp : step.op;
    if ((step.logical || (deployment.refreshOnly && step.op === "refresh")) && !internal && !step.skippedCreate)
      deployment.count(op);
    const state = step.new ?? step.old;
    // A component's outputs come when it registers them; in a preview they may never come.
    const complete = deployment.dryRun || state?.custom || step.op === "delete" || step.op === "refresh";
    if (complete) deployment.events.emit({ kind: "out", step: this.info(step, op) });
  }

  #fail(step: Step, failure: unknown): void {
    this.sawError = true;
    const deployment = this.#deployment;
    if (step.op === "refresh") return;
    if (!deployment.continueOnError && !(failure instanceof ProtectedError)) {
      deployment.stop();
      return;
    }
    this.erroredSteps.push(step);
    if (step.new) step.done?.("failed", step.new);
  }

  info(step: Step, op = step.op): StepInfo {
    const { urn, type, old, logical, keys } = step;
    const more = { ...(keys ? { keys } : {}), ...(step.op === "refresh" ? { read: true as const } : {}) };
    return { op, urn, type, old, new: step.new, logical, planning: this.#deployment.dryRun, ...more };
  }
}

/** Outputs that were named as secrets, and those under the name of a secret input. */
function markSecretOutputs(state: State): void {
  const { outputs } = state;
  if (!outputs) return;
  for (const key of state.additionalSecretOutputs ?? []) {
    const value = outputs[key];
    if (value !== undefined) outputs[key] = secret(value);
  }
  for (const [key, value] of Object.entries(outputs)) {
    if (isSecret(state.inputs[key]) && !isSecret(value)) outputs[key] = secret(value);
  }
}

function explain(failure: unknown): string {
  if (!(failure instanceof Error)) return String(failure);
  if (!(failure instanceof PartialFailure) || failure.reasons.length === 0) return failure.message;
  return `${failure.message}\n${failure.reasons.map((reason) => `  * ${reason}`).join("\n")}`;
}
