import * as crypto from "node:crypto";
import type { Deployment } from "./deployment";
import { PartialFailure } from "./provider";
import { isProviderType, type State } from "./resource";
import { deepEquals } from "./values";

export type Operation =
  | "same"
  | "create"
  | "update"
  | "delete"
  | "replace"
  | "create-replacement"
  | "delete-replaced"
  | "refresh"
  | "remove-pending-replace";

export type Outcome = "ok" | "failed" | "skipped";
export type Done = (outcome: Outcome, state: State, unknown?: boolean) => void;

/** One thing to do to one resource. Made by the generator, run by the executor. */
export interface Step {
  readonly op: Operation;
  readonly urn: string;
  readonly type: string;
  readonly old?: State | undefined;
  new?: State | undefined;
  readonly keys?: readonly string[];
  /** Counted, and shown as a change of its own; the halves of a replacement are not. */
  readonly logical: boolean;
  /** Same steps for resources that a targeted run leaves out, and does not write to the state either. */
  readonly skippedCreate?: boolean;
  /** What a refresh turned out to be. */
  resultOp?: Operation;
  /** Does it; the state in memory is changed, the journal is the executor's. Throws on failure. */
  apply(deployment: Deployment): Promise<void>;
  readonly done?: Done | undefined;
}

/** Reported without stopping anything else: nothing was attempted. */
export class ProtectedError extends Error {}

export function same(old: State, next: State, done?: Done, skippedCreate = false): Step {
  return {
    op: "same",
    urn: next.urn,
    type: next.type,
    old,
    new: next,
    logical: true,
    skippedCreate,
    done,
    async apply() {
      if (skippedCreate) return;
      if (old.id !== undefined) next.id = old.id;
      if (old.outputs) next.outputs = old.outputs;
      if (old.initErrors) next.initErrors = old.initErrors;
    },
  };
}

export function create(
  next: State,
  done: Done,
  replaced?: { old: State; keys: readonly string[]; deleteLater: boolean },
): Step {
  return {
    op: replaced ? "create-replacement" : "create",
    urn: next.urn,
    type: next.type,
    old: replaced?.old,
    new: next,
    keys: replaced?.keys ?? [],
    logical: !replaced,
    done,
    async apply(deployment) {
      let failure: unknown;
      if (isProviderType(next.type)) {
        next.id = deployment.dryRun ? deployment.sdk.unknown : crypto.randomUUID();
        next.outputs = next.inputs;
      } else if (next.custom && deployment.dryRun) {
        // What is no input stays unknown to the program where the provider takes no part in previews: dynamic ones do not.
        next.outputs = (await deployment.providerOf(next)).preview(next.urn, undefined, next.inputs);
      } else if (next.custom) {
        const provider = await deployment.providerOf(next);
        try {
          const created = await provider.create(next.urn, next.inputs);
          if (!created.id) throw new Error("provider did not return an ID from Create");
          next.id = created.id;
          next.outputs = created.outputs;
        } catch (error) {
          if (!(error instanceof PartialFailure)) throw error;
          next.id = error.id;
          next.outputs = error.properties;
          next.initErrors = error.reasons;
          failure = error;
        }
      }
      next.created = next.modified = new Date().toISOString();
      if (replaced?.deleteLater) replaced.old.delete = true;
      if (failure) throw failure;
    },
  };
}

export function update(old: State, next: State, done: Done): Step {
  return {
    op: "update",
    urn: next.urn,
    type: next.type,
    old,
    new: next,
    logical: true,
    done,
    async apply(deployment) {
      if (old.id !== undefined) next.id = old.id;
      if (old.created) next.created = old.created;
      if (old.modified) next.modified = old.modified;
      if (isProviderType(next.type)) next.outputs = next.inputs;
      else if (next.custom && deployment.dryRun)
        next.outputs = (await deployment.providerOf(next)).preview(next.urn, old.outputs ?? {}, next.inputs);
      else if (next.custom) {
        const provider = await deployment.providerOf(next);
        try {
          const ignored = next.ignoreChanges ?? [];
          next.outputs = await provider.update(
            next.urn,
            old.id ?? "",
            old.inputs,
            old.outputs ?? {},
            next.inputs,
            ignored,
          );
        } catch (error) {
          if (!(error instanceof PartialFailure)) throw error;
          next.outputs = error.properties;
          next.initErrors = error.reasons;
          // The inputs were not reached: kept old, the next run sees what is still to be done.
          next.inputs = old.inputs;
          throw error;
        }
      }
      next.modified = new Date().toISOString();
    },
  };
}

/** `replacing`: "before" its replacement is made or "after" it; otherwise the resource just goes. */
export function remove(old: State, otherDeletions: ReadonlySet<string>, replacing?: "before" | "after"): Step {
  return {
    op: replacing ? "delete-replaced" : "delete",
    urn: old.urn,
    type: old.type,
    old,
    logical: !replacing,
    async apply(deployment) {
      if (!replacing && old.protect) {
        throw new ProtectedError(
          `resource "${old.urn}" cannot be deleted\nbecause it is protected. To unprotect the resource, ` +
            "remove the `protect` flag from the resource in your Pulumi program and run `up`",
        );
      }
      const goesWithAnother = old.deletedWith !== undefined && otherDeletions.has(old.deletedWith);
      const keeps = deployment.dryRun || old.external || old.retainOnDelete || goesWithAnother;
      if (!keeps && old.custom && !isProviderType(old.type)) {
        const provider = await deployment.providerOf(old);
        await provider.delete(old.urn, old.id ?? "", old.inputs, old.outputs ?? {});
      }
      // Kept in the state until its replacement is there: interrupted in between, the next run knows what is missing.
      if (replacing === "before") old.pendingReplacement = true;
    },
  };
}

/** Marks a replacement in the display and the counts; the work is done by the create and the delete beside it. */
export function replace(old: State, next: State, keys: readonly string[]): Step {
  return { op: "replace", urn: next.urn, type: next.type, old, new: next, keys, logical: true, async apply() {} };
}

export function removePendingReplace(old: State): Step {
  return { op: "remove-pending-replace", urn: old.urn, type: old.type, old, logical: false, async apply() {} };
}

export function refresh(old: State): Step {
  const step: Step = {
    op: "refresh",
    urn: old.urn,
    type: old.type,
    old,
    new: old,
    logical: false,
    resultOp: "same",
    async apply(deployment) {
      if (!old.custom || isProviderType(old.type) || old.pendingReplacement) return;
      const provider = await deployment.providerOf(old);
      const before = old.outputs ?? {};
      let failed: PartialFailure | undefined;
      const read = await provider.read(old.urn, old.id ?? "", old.inputs, before).catch((error: unknown) => {
        if (!(error instanceof PartialFailure)) throw error;
        failed = error;
        return { id: error.id, outputs: error.properties, inputs: undefined };
      });
      if (failed) {
        const reasons = failed.reasons.map((reason) => `\n* ${reason}`).join("");
        deployment.events.diagnostic("warning", `Refreshed resource is in an unhealthy state:${reasons}`, old.urn);
      }
      if (!read.id) {
        step.new = undefined;
        step.resultOp = "delete";
        return;
      }
      const next: State = { ...old, id: read.id, inputs: read.inputs ?? old.inputs, outputs: read.outputs };
      if (failed) next.initErrors = failed.reasons;
      else delete next.initErrors;
      if (!deepEquals(next.outputs, before) || !deepEquals(next.inputs, old.inputs))
        next.modified = new Date().toISOString();
      step.new = next;
      // Asked the other way round: would the old inputs change what is there now?
      const diff = await deployment.diff(next, next.inputs, next.outputs ?? {}, old.inputs, old.ignoreChanges ?? []);
      step.resultOp = diff.changes === "none" ? "same" : "update";
    },
  };
  return step;
}
