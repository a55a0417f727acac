import type { Problem } from "./spec";

/** Collects problems; a check goes on after one, so that all are reported together. */
export class Problems {
  readonly list: Problem[] = [];

  error(property: string, message: string): void {
    this.list.push({ severity: "error", property, message });
  }

  /** Whether nothing was wrong with a property so far: what else depends on it is judged only then. */
  isSound(property: string): boolean {
    return !this.list.some((problem) => problem.severity === "error" && problem.property === property);
  }

  warn(property: string, message: string): void {
    this.list.push({ severity: "warning", property, message });
  }
}

export interface IntegerRule {
  readonly least: number;
  readonly most?: number;
  /** What to do: `use 3 or more (odd)`. */
  readonly use: string;
  /** What a value below `least` is. Default: `too low`. */
  readonly low?: string;
  /** What to do about a value above `most`. Default: to use that or less. */
  readonly useLess?: string;
}

/** As it would be written, short enough for one line of an error. */
export function show(value: unknown): string {
  if (typeof value === "string" && value.includes("-----BEGIN")) return "PEM";
  if (typeof value === "function") return "a function";
  if (isOutput(value)) return "an Output";
  let text: string | undefined;
  try {
    text = typeof value === "number" || typeof value === "bigint" ? String(value) : JSON.stringify(value);
  } catch {
    // A value that holds itself: its kind says enough.
  }
  text ??= typeof value === "object" ? "an object" : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function isOutput(value: unknown): boolean {
  return typeof value === "object" && value !== null && "apply" in value && typeof value.apply === "function";
}

/** What to do about a value of the wrong type, as JavaScript lets it through. */
function wrongType(value: unknown, wanted: string, hint = ""): string {
  if (isOutput(value))
    return `got an Output; must be a plain ${wanted}, because it decides what is created: read it before, from configuration`;
  const kind = value === null ? "" : Array.isArray(value) ? " (a list)" : ` (${typeof value})`;
  return `got ${show(value)}${kind}; must be ${/^[aeiou]/.test(wanted) ? "an" : "a"} ${wanted}${hint}`;
}

/** A whole number within its bounds; the default stands in for a wrong one, so that the other checks can go on. */
export function readInteger(
  problems: Problems,
  property: string,
  value: unknown,
  fallback: number,
  rule: IntegerRule,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") {
    const quoted = typeof value === "string" && /^-?\d+$/.test(value.trim());
    problems.error(property, wrongType(value, "whole number", quoted ? `: write ${value.trim()} without quotes` : ""));
  } else if (!Number.isInteger(value)) {
    problems.error(property, `${value} is not a whole number; ${rule.use}`);
  } else if (value < rule.least) {
    problems.error(property, `${value} is ${rule.low ?? "too low"}; ${rule.use}`);
  } else if (rule.most !== undefined && value > rule.most) {
    problems.error(property, `${value} is too high; ${rule.useLess ?? `use ${rule.most} or less`}`);
  } else {
    // Adding 0 makes a plain 0 of -0.
    return value + 0;
  }
  return fallback;
}

/** A number above 0, fractions included. */
export function readPositive(
  problems: Problems,
  property: string,
  value: unknown,
  fallback: number,
  use: string,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") problems.error(property, wrongType(value, "number"));
  else if (!Number.isFinite(value) || value <= 0) problems.error(property, `${value} is too low; ${use}`);
  else return value;
  return fallback;
}

/** A list of texts; what is wrong is left out of the answer. */
export function readWords(problems: Problems, property: string, value: unknown): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) {
    const hint = typeof value === "string" ? `: write [${show(value)}]` : "";
    problems.error(property, `got ${show(value)}; must be a list of strings${hint}`);
    return [];
  }
  return (value as unknown[]).flatMap((word, index) => {
    if (typeof word === "string") return [word];
    problems.error(`${property}[${index}]`, `got ${show(word)}; must be a string`);
    return [];
  });
}

export function readBoolean(problems: Problems, property: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value === "boolean") return value;
  const quoted = value === "true" || value === "false" || value === "yes" || value === "no";
  const hint = quoted ? `: write ${value === "true" || value === "yes"} without quotes` : ": true or false";
  problems.error(property, wrongType(value, "boolean", hint));
  return fallback;
}

/** One of some words. Case is part of the word, as in redis.conf's own enumerations written by this component. */
export function readWord<W extends string>(
  problems: Problems,
  property: string,
  value: unknown,
  fallback: W,
  words: readonly W[],
): W {
  if (value === undefined) return fallback;
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  const list = words.map((word) => `"${word}"`).join(", ");
  if (typeof value !== "string") {
    problems.error(property, wrongType(value, "word", `: one of ${list}`));
    return fallback;
  }
  const meant = closest(value, words);
  problems.error(
    property,
    `${show(value)} is not known; use one of ${list}${meant ? ` (did you mean "${meant}"?)` : ""}`,
  );
  return fallback;
}

export function readText(problems: Problems, property: string, value: unknown): string | undefined {
  if (value === undefined || typeof value === "string") return value;
  problems.error(property, wrongType(value, "string", typeof value === "number" ? `: write "${value}"` : ""));
  return undefined;
}

/** An object with string keys; anything else is an error, and `undefined` is none. */
export function readObject(problems: Problems, property: string, value: unknown): Record<string, unknown> {
  if (value === undefined) return {};
  if (isPlainObject(value)) return { ...value };
  problems.error(property, wrongType(value, "object", ": { name: value }"));
  return {};
}

/** As `readObject`, for what may be a secret in the wrong place: the value is not shown. */
export function readSecretObject(
  problems: Problems,
  property: string,
  value: unknown,
  hint: string,
): Record<string, unknown> {
  if (value === undefined) return {};
  if (isPlainObject(value)) return { ...value };
  problems.error(property, `got ${kindOf(value)}; must be a plain object: ${hint}`);
  return {};
}

/** A text, or what becomes one later; anything else is an error, in which the value is not shown. */
export function checkSecretText(problems: Problems, property: string, value: unknown, what: string): void {
  const later = typeof value === "object" && value !== null && ("apply" in value || "then" in value);
  if (typeof value === "string" || later) return;
  problems.error(
    property,
    value === undefined ? `missing; give ${what}` : `got ${kindOf(value)}; must be a string, ${what}`,
  );
}

/** What kind of value it is, where the value itself is nobody's to see. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (isOutput(value)) return "an Output";
  if (Array.isArray(value)) return "a list";
  return `${typeof value === "object" ? "an" : "a"} ${typeof value}`;
}

function isPlainObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isOutput(value);
}

/** Names the keys that nobody reads: most are typing errors, and one that is ignored silently costs most. */
export function refuseUnknownKeys(problems: Problems, prefix: string, value: object, known: readonly string[]): void {
  for (const [key, given] of Object.entries(value)) {
    if (known.includes(key) || given === undefined) continue;
    const meant = closest(key, known);
    const advice = meant ? `did you mean "${meant}"?` : `use one of ${[...known].sort().join(", ")}`;
    problems.error(prefix + key, `is not an argument; ${advice}`);
  }
}

/** The known word that was most likely meant: at most a third of the letters wrong. */
export function closest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein: how many letters to add, drop or change. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
