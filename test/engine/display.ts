import type { Diagnostic, Event, Listener, StepInfo, Summary } from "./events";
import { isDefaultProvider, nameOf, qualifiedTypeOf, stackType, typeOf } from "./resource";
import type { Operation } from "./steps";
import { deepEquals, isObject, isSecret, type Properties, redact, type Value } from "./values";

const signs: Record<Operation, string> = {
  same: " ",
  create: "+",
  update: "~",
  delete: "-",
  replace: "+-",
  "create-replacement": "++",
  "delete-replaced": "--",
  refresh: "~",
  "remove-pending-replace": "-",
};
const running: Record<Operation, string> = {
  same: "",
  create: "creating",
  update: "updating",
  delete: "deleting",
  replace: "replacing",
  "create-replacement": "creating replacement",
  "delete-replaced": "deleting original",
  refresh: "refreshing",
  "remove-pending-replace": "",
};
const finished: Record<Operation, string> = {
  same: "",
  create: "created",
  update: "updated",
  delete: "deleted",
  replace: "replaced",
  "create-replacement": "created replacement",
  "delete-replaced": "deleted original",
  refresh: "refreshed",
  "remove-pending-replace": "",
};

export interface DisplayOptions {
  readonly write: (line: string) => void;
  readonly stack: string;
  readonly project: string;
  readonly showDiff: boolean;
}

/** Lines for people, close to what the CLI prints where it is not on a terminal. */
export class Display {
  readonly #options: DisplayOptions;
  readonly #diagnostics: Diagnostic[] = [];
  /** A preview is compared with earlier ones, so that its lines are sorted and printed at its end. */
  readonly #planned: { urn: string; line: string; details: string[] }[] = [];

  constructor(options: DisplayOptions) {
    this.#options = options;
  }

  readonly listener: Listener = (event: Event) => {
    switch (event.kind) {
      case "pre":
        if (!event.step.planning && event.step.op !== "refresh" && running[event.step.op])
          this.#live(event.step, `${running[event.step.op]}...`);
        return;
      case "out":
        if (event.step.planning) this.#plan(event.step);
        else if (finished[event.step.op] && !isUnchangedByRefresh(event.step))
          this.#live(event.step, finished[event.step.op]);
        return;
      case "failed":
        this.#live(event.step, `**${running[event.step.op]} failed**`);
        return;
      case "diagnostic":
        this.#diagnose(event.diagnostic);
        return;
      default:
        return;
    }
  };

  #live(step: StepInfo, status: string): void {
    if (isDefaultProvider(step.urn)) return;
    this.#options.write(this.#line(step, status));
    if (this.#options.showDiff && status === finished[step.op])
      for (const line of diffLines(step)) this.#options.write(line);
  }

  #plan(step: StepInfo): void {
    if (isDefaultProvider(step.urn) || step.op === "same" || step.op === "refresh") return;
    if (step.op === "create-replacement" || step.op === "delete-replaced") return;
    if (this.#planned.some(({ urn }) => urn === step.urn)) return;
    this.#planned.push({
      urn: step.urn,
      line: this.#line(step, step.op),
      details: this.#options.showDiff ? diffLines(step) : [],
    });
  }

  #line(step: StepInfo, status: string): string {
    return ` ${signs[step.op].padEnd(2)} ${typeOf(step.urn)} ${nameOf(step.urn)} ${status} ${changedInputs(step)}`.trimEnd();
  }

  #diagnose(diagnostic: Diagnostic): void {
    if (diagnostic.severity === "debug") return;
    if (!diagnostic.ephemeral) this.#diagnostics.push(diagnostic);
    const where = diagnostic.urn
      ? `${typeOf(diagnostic.urn)} ${nameOf(diagnostic.urn)}`
      : `${stackType} ${this.#stackName}`;
    for (const line of diagnostic.message.trimEnd().split("\n"))
      this.#options.write(`    ${where} ${label(diagnostic)}${line}`);
  }

  get #stackName(): string {
    return `${this.#options.project}-${this.#options.stack}`;
  }

  /** What comes after the last step. */
  end(summary: Summary, outputs: { old: Properties; new: Properties }): void {
    const { write } = this.#options;
    // By name: siblings run at once, and which of them comes first is chance.
    this.#planned.sort((a, b) => compareUrns(a.urn, b.urn));
    for (const { line, details } of this.#planned) for (const text of [line, ...details]) write(text);
    this.#writeDiagnostics();
    this.#writeOutputs(outputs, summary.planning);
    write("");
    write("Resources:");
    const { same = 0, ...changes } = summary.changes;
    const verbs = summary.planning ? planned : finished;
    for (const op of ["create", "update", "delete", "replace"] as const) {
      if (changes[op]) write(`    ${signs[op]} ${changes[op]} ${verbs[op]}`);
    }
    if (same) write(`    ${same} unchanged`);
    if (summary.planning) return;
    write("");
    write(`Duration: ${summary.seconds}s`);
  }

  #writeDiagnostics(): void {
    const { write } = this.#options;
    if (this.#diagnostics.length === 0) return;
    write("");
    write("Diagnostics:");
    const groups = new Map<string, Diagnostic[]>();
    for (const diagnostic of this.#diagnostics) {
      const key = diagnostic.urn && typeOf(diagnostic.urn) !== stackType ? diagnostic.urn : "";
      groups.set(key, [...(groups.get(key) ?? []), diagnostic]);
    }
    for (const [i, [urn, diagnostics]] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).entries()) {
      if (i > 0) write("");
      write(`  ${urn ? `${typeOf(urn)} (${nameOf(urn)})` : `${stackType} (${this.#stackName})`}:`);
      for (const diagnostic of diagnostics) {
        for (const line of `${label(diagnostic)}${diagnostic.message.trimEnd()}`.split("\n"))
          write(`    ${line}`.trimEnd());
      }
    }
  }

  #writeOutputs(outputs: { old: Properties; new: Properties }, planning: boolean): void {
    const { write } = this.#options;
    const keys = [...new Set([...Object.keys(outputs.old), ...Object.keys(outputs.new)])].sort();
    if (keys.length === 0) return;
    const lines: string[] = [];
    for (const key of keys) {
      const [old, now] = [outputs.old[key], outputs.new[key]];
      const sign = old === undefined ? "+" : now === undefined ? "-" : deepEquals(old, now) ? " " : "~";
      if (planning && sign === " ") continue;
      const width = Math.max(...keys.map((name) => name.length));
      const before = sign === "~" ? `${show(old)} => ` : "";
      const text = `${before}${show(now === undefined ? old : now)}`;
      // What does not fit a line is laid out as the CLI does, and only as it is now.
      const shown = text.length <= OUTPUT_WIDTH ? text : layOut(now === undefined ? old : now, "    ").join("\n");
      lines.push(...`  ${sign} ${key.padEnd(width)}: ${shown}`.split("\n"));
    }
    if (lines.length === 0) return;
    write("");
    write("Outputs:");
    for (const line of lines) write(line);
  }
}

const planned: Record<"create" | "update" | "delete" | "replace", string> = {
  create: "to create",
  update: "to update",
  delete: "to delete",
  replace: "to replace",
};

/** The stack first, then by type and name, numbers by value. */
function compareUrns(a: string, b: string): number {
  const rank = (urn: string) => (typeOf(urn) === stackType ? 0 : 1);
  const collate = (x: string, y: string) => x.localeCompare(y, "en", { numeric: true });
  return rank(a) - rank(b) || collate(qualifiedTypeOf(a), qualifiedTypeOf(b)) || collate(nameOf(a), nameOf(b));
}

/** `[diff: +added,~changed,-removed]`, by the names of the inputs. */
function changedInputs(step: StepInfo): string {
  if (!step.old || !step.new || !["update", "replace", "create-replacement", "refresh"].includes(step.op)) return "";
  const [old, next] = step.read ? [step.old.outputs ?? {}, step.new.outputs ?? {}] : [step.old.inputs, step.new.inputs];
  const keys = [...new Set([...Object.keys(old), ...Object.keys(next)])].sort();
  const signed = keys.flatMap((key) => {
    if (old[key] === undefined) return [`+${key}`];
    if (next[key] === undefined) return [`-${key}`];
    return deepEquals(old[key], next[key]) ? [] : [`~${key}`];
  });
  return signed.length > 0 ? `[diff: ${signed.join(",")}]` : "";
}

function label(diagnostic: Diagnostic): string {
  if (diagnostic.severity === "error") return "error: ";
  return diagnostic.severity === "warning" ? "warning: " : "";
}

/** Most of what is read before an update is as it was: nobody wants a line for each. */
function isUnchangedByRefresh(step: StepInfo): boolean {
  return step.op === "refresh" && step.new !== undefined && deepEquals(step.old?.outputs ?? {}, step.new.outputs ?? {});
}

const OUTPUT_WIDTH = 120;

/** A nested value over several lines, keys aligned; what fits a line stays on one. */
function layOut(value: Value | undefined, indent: string): string[] {
  const flat = show(value);
  const inner = `${indent}    `;
  if (
    flat.length <= OUTPUT_WIDTH - inner.length ||
    value === undefined ||
    isSecret(value) ||
    typeof value !== "object" ||
    value === null
  )
    return [flat];
  const list = Array.isArray(value);
  const entries = list
    ? value.map((v, i): [string, Value] => [`[${i}]`, v])
    : Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const width = Math.max(...entries.map(([key]) => key.length));
  const body = entries.flatMap(([key, v]) =>
    `${inner}${key.padEnd(width)}: ${layOut(v, inner).join("\n")}`.split("\n"),
  );
  return [list ? "[" : "{", ...body, `${indent}${list ? "]" : "}"}`];
}

function show(value: Value | undefined): string {
  if (value === undefined) return "";
  if (isSecret(value)) return "[secret]";
  if (value === unknownText) return "[unknown]";
  return JSON.stringify(redact(value), (_, item) => (item === unknownText ? "[unknown]" : item));
}

/** The SDK's sentinel for a value that is not known yet; a reader need not know it. */
const unknownText = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** `--diff`: the inputs that change; of a refresh, the outputs. */
function diffLines(step: StepInfo): string[] {
  const part = step.read ? "outputs" : "inputs";
  const old = step.op === "create" ? {} : (step.old?.[part] ?? {});
  const next = step.op === "delete" ? {} : (step.new?.[part] ?? {});
  const lines: string[] = [];
  const compare = (path: string, a: Value | undefined, b: Value | undefined) => {
    if (a !== undefined && b !== undefined && deepEquals(a, b)) return;
    if (isObject(a) && isObject(b)) {
      for (const key of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort())
        compare(`${path}.${key}`, a[key], b[key]);
    } else if (a === undefined) lines.push(`      + ${path}: ${show(b)}`);
    else if (b === undefined) lines.push(`      - ${path}: ${show(a)}`);
    else lines.push(`      ~ ${path}: ${show(a)} => ${show(b)}`);
  };
  for (const key of [...new Set([...Object.keys(old), ...Object.keys(next)])].sort()) {
    if (key !== "__provider") compare(key, old[key], next[key]);
  }
  return lines;
}
