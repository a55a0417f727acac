import * as fs from "node:fs";
import type { State } from "./resource";
import type { Operation } from "./steps";
import { type Properties, redact } from "./values";

export type Severity = "debug" | "info" | "info#err" | "warning" | "error";

export interface Diagnostic {
  readonly urn: string;
  readonly message: string;
  readonly severity: Severity;
  readonly ephemeral: boolean;
}

export interface StepInfo {
  readonly op: Operation;
  readonly urn: string;
  readonly type: string;
  readonly old?: State | undefined;
  readonly new?: State | undefined;
  readonly keys?: readonly string[];
  readonly logical: boolean;
  readonly planning: boolean;
  /** What was read of it is compared, not what was declared. */
  readonly read?: true;
}

export interface Summary {
  readonly planning: boolean;
  readonly failed: boolean;
  readonly seconds: number;
  readonly changes: Partial<Record<Operation, number>>;
}

export type Event =
  | { readonly kind: "pre"; readonly step: StepInfo }
  | { readonly kind: "out"; readonly step: StepInfo }
  | { readonly kind: "failed"; readonly step: StepInfo }
  | { readonly kind: "diagnostic"; readonly diagnostic: Diagnostic }
  | { readonly kind: "summary"; readonly summary: Summary }
  | { readonly kind: "cancel" };

export type Listener = (event: Event) => void;

/** Everything that happens in one operation, for the display, the event log and the preview's JSON alike. */
export class Events {
  readonly #listeners: Listener[];

  constructor(listeners: Listener[]) {
    this.#listeners = listeners;
  }

  emit(event: Event): void {
    for (const listener of this.#listeners) listener(event);
  }

  diagnostic(severity: Severity, message: string, urn = "", ephemeral = false): void {
    this.emit({ kind: "diagnostic", diagnostic: { severity, message, urn, ephemeral } });
  }

  error(message: string, urn = ""): void {
    this.diagnostic("error", message, urn);
  }
}

/** The CLI's `--event-log`: one JSON object a line. Secrets never reach it. */
export function eventLog(file: string): Listener {
  let sequence = 0;
  fs.writeFileSync(file, "", { mode: 0o600 });
  return (event) => {
    const line = { sequence: sequence++, timestamp: Math.floor(Date.now() / 1000), ...engineEvent(event) };
    fs.appendFileSync(file, `${JSON.stringify(line)}\n`);
  };
}

function engineEvent(event: Event): object {
  switch (event.kind) {
    case "pre":
      return { resourcePreEvent: { metadata: stepMetadata(event.step), planning: event.step.planning } };
    case "out":
      return { resOutputsEvent: { metadata: stepMetadata(event.step), planning: event.step.planning } };
    case "failed":
      return { resOpFailedEvent: { metadata: stepMetadata(event.step), status: 0, steps: 0 } };
    case "diagnostic": {
      const { urn, message, severity, ephemeral } = event.diagnostic;
      return {
        diagnosticEvent: {
          ...(urn ? { urn } : {}),
          message,
          color: "never",
          severity,
          ...(ephemeral ? { ephemeral } : {}),
        },
      };
    }
    case "summary":
      return {
        summaryEvent: {
          maybeCorrupt: false,
          durationSeconds: event.summary.seconds,
          resourceChanges: event.summary.changes,
          ...(event.summary.failed ? { result: "failed" } : {}),
        },
      };
    case "cancel":
      return { cancelEvent: {} };
  }
}

export function stepMetadata(step: StepInfo): object {
  return {
    op: step.op,
    urn: step.urn,
    type: step.type,
    old: step.old ? describeState(step.old) : null,
    new: step.new ? describeState(step.new) : null,
    ...(step.keys?.length ? { keys: step.keys } : {}),
    ...(step.logical ? { logical: true } : {}),
    provider: step.new?.provider ?? step.old?.provider ?? "",
  };
}

export function describeState(state: State): object {
  return {
    type: state.type,
    urn: state.urn,
    ...(state.custom ? { custom: true } : {}),
    ...(state.delete ? { delete: true } : {}),
    id: state.id ?? "",
    parent: state.parent ?? "",
    ...(state.protect ? { protect: true } : {}),
    inputs: visible(state.inputs),
    outputs: visible(state.outputs ?? {}),
    ...(state.provider ? { provider: state.provider } : {}),
    ...(state.initErrors?.length ? { initErrors: state.initErrors } : {}),
  };
}

/** A dynamic provider's serialised code says nothing to a reader and would drown the rest. */
function visible(properties: Properties): unknown {
  const { __provider: _, ...rest } = properties;
  return redact(rest);
}
