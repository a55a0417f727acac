import type { Event, Listener } from "./events";
import { isDefaultProvider, type State, stackType } from "./resource";
import type { Operation } from "./steps";
import { isObject, redact } from "./values";

interface DigestStep {
  op: Operation;
  urn: string;
  provider?: string;
  oldState?: object;
  newState?: object;
  replaceReasons?: string[];
  detailedDiff: null;
}

/** `preview --json`: steps, diagnostics and counts, in the CLI's shape. Without the duration: equal previews are equal. */
export class Digest {
  readonly #steps: DigestStep[] = [];
  readonly #diagnostics: object[] = [];
  #counts: Partial<Record<Operation, number>> = {};

  readonly listener: Listener = (event: Event) => {
    switch (event.kind) {
      case "pre": {
        const { op, urn, type, keys, old, new: next } = event.step;
        if (isDefaultProvider(urn) || op === "refresh" || (op === "same" && type !== stackType)) return;
        const provider = next?.provider ?? old?.provider;
        this.#steps.push({
          op,
          urn,
          ...(provider ? { provider } : {}),
          ...(old ? { oldState: resource(old) } : {}),
          // Without the times, which a preview sets as an update would.
          ...(next ? { newState: resource({ ...next, created: "", modified: "" }) } : {}),
          ...(keys?.length ? { replaceReasons: [...keys] } : {}),
          detailedDiff: null,
        });
        return;
      }
      case "diagnostic": {
        const { urn, message, severity, ephemeral } = event.diagnostic;
        if (severity === "debug" || ephemeral) return;
        this.#diagnostics.push({
          ...(urn ? { urn } : {}),
          ...(severity === "error" || severity === "warning" ? { prefix: `${severity}: ` } : {}),
          message: `${message.trimEnd()}\n`,
          severity,
        });
        return;
      }
      case "summary":
        this.#counts = event.summary.changes;
        return;
      default:
        return;
    }
  };

  toJson(config: Record<string, string>): string {
    // Siblings run at once: by URN, so that chance does not make two equal previews differ. The sort is stable, and the
    // steps of one resource stay in their order.
    const rank = (step: DigestStep) => (step.urn.includes(`::${stackType}::`) ? 0 : 1);
    this.#steps.sort((a, b) => rank(a) - rank(b) || (a.urn < b.urn ? -1 : a.urn > b.urn ? 1 : 0));
    const diagnostics = this.#diagnostics.length > 0 ? { diagnostics: this.#diagnostics } : {};
    return JSON.stringify({ config, steps: this.#steps, ...diagnostics, changeSummary: this.#counts }, null, 4);
  }
}

/** As it is when the step begins, in the field order of the CLI, what is empty left out. */
function resource(state: State): object {
  const { urn, custom, id, type, inputs, outputs, parent, ...rest } = state;
  const fields = {
    urn,
    custom,
    id,
    type,
    inputs: redact(inputs),
    outputs: outputs && redact(outputs),
    parent,
    ...rest,
  };
  const empty = (value: unknown) =>
    value === undefined ||
    value === "" ||
    (Array.isArray(value) && value.length === 0) ||
    (isObject(value) && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !empty(value)));
}
