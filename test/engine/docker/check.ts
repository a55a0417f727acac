import { randomBytes } from "node:crypto";
import * as path from "node:path";
import { containsSecrets, containsUnknowns, isObject, type Properties, unwrap, type Value } from "../values";
import { parseDuration } from "./durations";
import type { Fields, Rule, TextRule } from "./schema";
import { canonical, defaultOf, defaultsKey, isNote, zero } from "./values";

export interface Failure {
  readonly property: string;
  readonly reason: string;
}

export interface CheckContext {
  readonly unknown: string;
  /** The resource's own name, of which names are made. */
  readonly name: string;
  /** Inputs of the resource that is there, so that a name stays. */
  readonly olds: Properties;
}

/** Arguments against the rules: every problem at once, and defaults filled in, with a note of which, as the bridge leaves one. */
export function check(
  fields: Fields,
  news: Properties,
  context: CheckContext,
): { inputs: Properties; failures: Failure[] } {
  const failures: Failure[] = [];
  new Checker(context.unknown, failures).fields(fields, news, "");
  if (failures.length > 0) return { inputs: news, failures };
  return { inputs: fill(fields, news, context), failures };
}

class Checker {
  readonly #unknown: string;
  readonly #failures: Failure[];
  #secret = false;

  constructor(unknown: string, failures: Failure[]) {
    this.#unknown = unknown;
    this.#failures = failures;
  }

  fields(fields: Fields, value: Properties, at: string): void {
    for (const [key, item] of Object.entries(value)) {
      const place = at ? `${at}.${key}` : key;
      const rule = fields[key];
      if (isNote(key) || item === null) continue;
      if (!rule) {
        const known = Object.keys(fields).sort().join(", ");
        this.#fail(place, `An argument named "${key}" is not expected here. Known: ${known}`);
        continue;
      }
      // A secret's value must not be told.
      if (!at) this.#secret = containsSecrets(item);
      this.#value(rule, unwrap(item), place);
    }
    for (const [key, rule] of Object.entries(fields)) {
      if (rule.required && (value[key] === undefined || value[key] === null))
        this.#fail(
          at ? `${at}.${key}` : key,
          `Missing required argument. The argument "${key}" is required, but no definition was found.`,
        );
    }
  }

  #value(rule: Rule, value: Value, at: string): void {
    if (rule.refused) {
      if (canonical(value) === canonical(defaultOf(rule) ?? null)) return;
      this.#fail(
        at,
        "not carried out by this double of the Docker provider; use the Pulumi CLI, or leave the argument out",
      );
      return;
    }
    if (value === this.#unknown || value === null) return;
    if (rule.kind === "block") {
      if (!isObject(value)) this.#wrong(at, "an object", value);
      else this.fields(rule.of, value, at);
    } else if (rule.kind === "list" || rule.kind === "set") {
      if (!Array.isArray(value)) this.#wrong(at, "a list", value);
      else for (const [i, item] of value.entries()) this.#value(rule.of, item, `${at}[${i}]`);
    } else if (rule.kind === "map") {
      if (!isObject(value)) this.#wrong(at, "an object of strings", value);
      else
        for (const [key, item] of Object.entries(value))
          if (!isNote(key) && item !== null) this.#value({ kind: "string" }, item, `${at}.${key}`);
    } else if (typeof value !== rule.kind) {
      this.#wrong(at, `a ${rule.kind}`, value);
    } else if (rule.kind === "number") {
      // Every number of the four resources is a whole one.
      if (!Number.isInteger(value)) this.#fail(at, `expected a whole number, got ${this.#show(value)}`);
      else if (rule.min !== undefined && (value as number) < rule.min)
        this.#fail(at, `'${this.#show(value)}' cannot be lower than ${rule.min}`);
    } else if (rule.kind === "string") {
      const problem = textProblem(rule, value as string, this.#show(value));
      if (problem) this.#fail(at, problem);
    }
  }

  #wrong(at: string, wanted: string, value: Value): void {
    const got = Array.isArray(value) ? "a list" : isObject(value) ? "an object" : `a ${typeof value}`;
    this.#fail(at, `expected ${wanted}, got ${got}`);
  }

  #show(value: Value): string {
    return this.#secret ? "[secret]" : String(value);
  }

  #fail(property: string, reason: string): void {
    this.#failures.push({ property, reason });
  }
}

function textProblem(rule: TextRule, value: string, shown: string): string | undefined {
  const { must } = rule;
  if (must instanceof RegExp)
    return must.test(value) ? undefined : `'${shown}' doesn't match the pattern '${must.source}'`;
  if (must === "duration") {
    const duration = parseDuration(value);
    if (duration === undefined) return `'${shown}' is not a valid duration`;
    return duration < 0 ? `'${shown}' duration must not be negative` : undefined;
  }
  if (must === "base64")
    return value === Buffer.from(value, "base64").toString("base64")
      ? undefined
      : `'${shown}' is not base64 decodeable`;
  if (must === "absolutePath") return path.isAbsolute(value) ? undefined : `'${shown}' must be an absolute path`;
  return undefined;
}

/** Defaults, and names; `__defaults` says at every level which properties are not the program's own. */
function fill(fields: Fields, news: Properties, context: CheckContext): Properties {
  const result: Properties = {};
  const defaults: string[] = [];
  for (const [key, item] of Object.entries(news)) {
    const rule = fields[key];
    if (!rule || item === null) continue;
    result[key] = fillValue(rule, unwrap(item), context.unknown);
  }
  for (const [key, rule] of Object.entries(fields)) {
    if (result[key] !== undefined) continue;
    const value = rule.kind === "string" && rule.autonamed ? nameFor(key, context) : defaultOf(rule);
    // A default of nothing is none to the bridge.
    if (value === undefined || value === zero(rule)) continue;
    result[key] = value;
    defaults.push(key);
  }
  result[defaultsKey] = defaults.sort();
  return result;
}

function nameFor(key: string, { olds, name }: CheckContext): string {
  const old = unwrap(olds[key] ?? null);
  const made = unwrap(olds[defaultsKey] ?? null);
  if (typeof old === "string" && Array.isArray(made) && made.includes(key)) return old;
  return `${name}-${randomBytes(4).toString("hex").slice(0, 7)}`;
}

function fillValue(rule: Rule, value: Value, unknown: string): Value {
  if (rule.kind === "block" && isObject(value)) {
    return fill(rule.of, value, { unknown, name: "", olds: {} });
  }
  if ((rule.kind === "list" || rule.kind === "set") && Array.isArray(value) && !containsUnknowns(unknown, value))
    return value.map((item) => fillValue(rule.of, item, unknown));
  return value;
}
