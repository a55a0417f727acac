import { containsUnknowns, isObject, type Properties, unwrap, type Value } from "../values";
import type { Fields, ListRule, ResourceRules, Rule } from "./schema";
import { canonical, defaultOf, defaultsKey, normalise, objects, withoutNotes, zero } from "./values";

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
    const value = news[property];
    if (value !== undefined && value !== null) result[property] = withoutNotes(unwrap(value));
    else if (rule.computed) result[property] = oldOutputs ? (oldOutputs[property] ?? null) : unknown;
    else result[property] = defaultOf(rule) ?? zero(rule);
    if (result[property] === null) delete result[property];
  }
  for (const property of rules.outputs) {
    const value = oldOutputs ? oldOutputs[property] : unknown;
    if (value !== undefined) result[property] = value;
  }
  return result;
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

/** Elements of a set by what they say, wherever they stand now. */
function matchElements(rule: ListRule, old: Value[], now: Value[]): (Value | undefined)[] {
  const byContent = new Map(now.map((item) => [canonical(normalise(rule.of, item)), item]));
  return old.map((item) => byContent.get(canonical(normalise(rule.of, item))));
}
