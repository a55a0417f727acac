import { containsUnknowns, isObject, type Properties, unwrap, type Value } from "../values";
import type { Fields, ListRule, ResourceRules, Rule } from "./schema";
import { canonical, defaultOf, defaultsKey, normalise, objects, withoutNotes } from "./values";

export interface Change {
  readonly property: string;
  readonly replace: boolean;
}

/** What the new inputs change of what is there. As the bridge has it, inputs are held against the old outputs: what was read counts. */
export function changes(rules: ResourceRules, oldOutputs: Properties, news: Properties, unknown: string): Change[] {
  const result: Change[] = [];
  for (const [property, rule] of Object.entries(rules.fields)) {
    const [old, now] = [unwrap(oldOutputs[property] ?? null), unwrap(news[property] ?? null)];
    if (differs(rule, property, old, now, unknown)) result.push({ property, replace: rule.forceNew === true });
  }
  return result;
}

function differs(rule: Rule, property: string, old: Value, now: Value, unknown: string): boolean {
  if (containsUnknowns(unknown, now)) return true;
  if (now === null && rule.computed) return false;
  if (rule.kind === "string" && rule.emptyKeeps && (now === null || now === "")) return false;
  if (property === "ports" && rule.kind === "list") return portsDiffer(rule, objects(old), objects(now));
  return canonical(normalise(rule, old)) !== canonical(normalise(rule, now));
}

/** The order of ports is no difference, and a port that Docker chose stays. */
function portsDiffer(rule: ListRule, old: Properties[], now: Properties[]): boolean {
  if (old.length !== now.length) return true;
  const merged = now.map((port, i) => ({ ...port, external: port.external ?? old[i]?.external ?? null }));
  const key = (ports: Properties[]) => ports.map((port) => canonical(normalise(rule.of, port))).sort();
  return key(old).join("\n") !== key(merged).join("\n");
}

/**
 * The resource as it will be: what is declared as declared, what the provider fills in as it was, or unknown where nothing was.
 * It is what a preview tells the program, and what an update leaves in the state.
 */
export function planned(
  rules: ResourceRules,
  oldOutputs: Properties | undefined,
  news: Properties,
  unknown: string,
): Properties {
  const result: Properties = {};
  for (const [property, rule] of Object.entries(rules.fields)) {
    const value = unwrap(news[property] ?? null);
    const old = oldOutputs && unwrap(oldOutputs[property] ?? null);
    let next: Value | undefined;
    // What is no difference stays as it was written down.
    if (old !== undefined && !differs(rule, property, old, value, unknown)) next = old;
    else if (value !== null) next = complete(rule, withoutNotes(value), old === undefined ? unknown : undefined);
    else if (rule.computed) next = unknown;
    else next = absent(rule);
    if (next !== undefined && next !== null) result[property] = next;
  }
  for (const property of rules.outputs) {
    const value = oldOutputs ? oldOutputs[property] : unknown;
    if (value !== undefined) result[property] = value;
  }
  return result;
}

/** What stands for a property that nobody set: blocks are none of them, anything else is not there. */
function absent(rule: Rule): Value | undefined {
  if ((rule.kind === "list" || rule.kind === "set") && rule.of.kind === "block") return [];
  return defaultOf(rule) === "" ? undefined : defaultOf(rule);
}

/** Elements have all their texts, empty ones too; what Docker will choose in them is not known before. */
function complete(rule: Rule, value: Value, unknown: string | undefined, nested = false): Value {
  if ((rule.kind === "list" || rule.kind === "set") && Array.isArray(value))
    return value.map((item) => complete(rule.of, item, unknown, true));
  if (rule.kind !== "block" || !isObject(value)) return value;
  const result: Properties = {};
  for (const [key, inner] of Object.entries(rule.of)) {
    const item = value[key] ?? null;
    if (item !== null) result[key] = complete(inner, item, unknown, true);
    else if (inner.computed && unknown !== undefined) result[key] = unknown;
    else {
      const fallback = absent(inner) ?? (nested && inner.kind === "string" ? "" : undefined);
      if (fallback !== undefined) result[key] = fallback;
    }
  }
  return result;
}

/**
 * What is kept once a resource was made or changed: of what Docker says of it nothing but what the plan left open. A set that was
 * declared stays as declared, whatever came back; only a refresh sees the difference.
 */
export function applied(rules: ResourceRules, plan: Properties, found: Properties, unknown: string): Properties {
  const result: Properties = { ...found };
  for (const [property, rule] of Object.entries(rules.fields)) {
    const planned = plan[property];
    const set = rule.kind === "set" || (rule.kind === "block" && rule.inSet);
    const known = planned !== undefined && !containsUnknowns(unknown, planned);
    if (set && known) result[property] = planned;
    else if (planned === undefined && isEmpty(result[property])) delete result[property];
    else if (planned === unknown && result[property] === undefined) {
      if (rule.kind === "set") result[property] = [];
      else if (rule.kind === "number") result[property] = 0;
    }
  }
  return Object.fromEntries(Object.entries(result).filter(([, value]) => value !== unknown));
}

function isEmpty(value: Value | undefined): boolean {
  return Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;
}

/**
 * The inputs once a refresh has read the resource: those that were there before, with the values that were found. A property that was
 * filled in by default is no such any more when it has another value now.
 */
export function inputsFromOutputs(fields: Fields, oldInputs: Properties, outputs: Properties): Properties {
  return extractFields(fields, unwrap(oldInputs) as Properties, unwrap(outputs) as Properties).value;
}

interface Extracted<T> {
  readonly value: T;
  readonly same: boolean;
}

function extractFields(fields: Fields, olds: Properties, news: Properties): Extracted<Properties> {
  const value: Properties = {};
  const names = olds[defaultsKey];
  const defaults = new Set(Array.isArray(names) ? names.map(String) : []);
  let same = true;
  for (const [key, old] of Object.entries(olds)) {
    if (key === defaultsKey) continue;
    const rule = fields[key];
    const now = news[key];
    const extracted = now === undefined || !rule ? undefined : extract(rule, old, now);
    if (extracted) value[key] = extracted.value;
    if (extracted?.same) continue;
    same = false;
    defaults.delete(key);
  }
  if (Array.isArray(names)) value[defaultsKey] = [...defaults].sort();
  return { value, same: same || !Array.isArray(names) };
}

function extract(rule: Rule, old: Value, now: Value): Extracted<Value> {
  if (rule.kind === "block" && isObject(old) && isObject(now)) return extractFields(rule.of, old, now);
  if ((rule.kind === "list" || rule.kind === "set") && Array.isArray(old) && Array.isArray(now)) {
    const matched = rule.kind === "list" ? now : matchElements(rule, old, now);
    const items = old.slice(0, matched.length).flatMap((item, i) => {
      const found = matched[i];
      return found === undefined ? [] : [extract(rule.of, item, found)];
    });
    return {
      value: items.map((item) => item.value),
      same: items.length === old.length && items.every((item) => item.same),
    };
  }
  return { value: now, same: canonical(old) === canonical(now) };
}

/** Elements of a set wherever they stand now: blocks by what most of them says, and texts in order, unless all are the same. */
function matchElements(rule: ListRule, old: Value[], now: Value[]): (Value | undefined)[] {
  if (rule.of.kind !== "block") return canonical(normalise(rule, old)) === canonical(normalise(rule, now)) ? old : now;
  const pairs = old
    .flatMap((a, i) => now.map((b, j) => ({ i, j, score: likeness(a, b) })))
    .sort((a, b) => b.score - a.score);
  const [found, used] = [new Map<number, Value>(), new Set<number>()];
  for (const { i, j } of pairs) {
    const item = now[j];
    if (found.has(i) || used.has(j) || item === undefined) continue;
    found.set(i, item);
    used.add(j);
  }
  return old.map((_, i) => found.get(i));
}

function likeness(a: Value, b: Value): number {
  if (!isObject(a) || !isObject(b)) return 0;
  const shared = Object.keys(a).filter((key) => key in b);
  return shared.reduce((sum, key) => sum + (canonical(a[key] ?? null) === canonical(b[key] ?? null) ? 3 : 1), 0);
}
