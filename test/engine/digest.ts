import { describeState, type Event, type Listener, type StepInfo } from "./events";
import { isDefaultProvider } from "./resource";
import type { Operation } from "./steps";

/** `preview --json`: steps, diagnostics and counts, in the CLI's shape. */
export class Digest {
  readonly #steps: { urn: string; op: Operation; step: StepInfo }[] = [];
  readonly #diagnostics: object[] = [];
  #counts: Partial<Record<Operation, number>> = {};
  #seconds = 0;

  readonly listener: Listener = (event: Event) => {
    switch (event.kind) {
      case "pre":
        if (!isDefaultProvider(event.step.urn) && event.step.op !== "refresh") this.#steps.push({ urn: event.step.urn, op: event.step.op, step: event.step });
        return;
      case "diagnostic": {
        const { urn, message, severity, ephemeral } = event.diagnostic;
        if (severity !== "debug" && !ephemeral) this.#diagnostics.push({ ...(urn ? { urn } : {}), message: `${message}\n`, severity });
        return;
      }
      case "summary":
        this.#counts = event.summary.changes;
        this.#seconds = event.summary.seconds;
        return;
      default:
        return;
    }
  };

  toJson(config: Record<string, string>): string {
    const steps = this.#steps.map(({ urn, op, step }) => ({
      op,
      urn,
      ...(step.old?.provider || step.new?.provider ? { provider: step.new?.provider ?? step.old?.provider } : {}),
      ...(step.old ? { oldState: describeState(step.old) } : {}),
      ...(step.new ? { newState: describeState(step.new) } : {}),
      ...(step.keys?.length ? { replaceReasons: [...step.keys] } : {}),
      detailedDiff: null,
    }));
    // Siblings run at once; which came first is chance and must not make two equal previews differ.
    const position = new Map<string, number>();
    for (const { urn } of [...steps].sort((a, b) => (a.urn < b.urn ? -1 : 1))) if (!position.has(urn)) position.set(urn, position.size);
    steps.sort((a, b) => (position.get(a.urn) ?? 0) - (position.get(b.urn) ?? 0));
    const digest = { config, steps, diagnostics: this.#diagnostics, duration: this.#seconds * 1e9, changeSummary: this.#counts };
    return JSON.stringify(digest, null, 4);
  }
}
