import type { Properties, Value } from "../values";
import { isObject } from "../values";
import type { Fields, Rule } from "./schema";

/** Names that begin like this are the bridge's own notes among the properties. */
export const defaultsKey = "__defaults";
export const metaKey = "__meta";

export function isNote(key: string): boolean {
  return key.startsWith("__");
}

/** Nothing in place of something: what Terraform takes an absent value for. */
export function zero(rule: Rule): Value {
  switch (rule.kind) {
    case "string":
      return "";
    case "number":
      return 0;
    case "boolean":
      return false;
    case "list":
    case "set":
      return [];
    case "map":
      return {};
    case "block":
      return null;
  }
}

export function defaultOf(rule: Rule): Value | undefined {
  return "default" in rule ? rule.default : undefined;
}

/** A value as it is compared: defaults and zeros filled in, notes left out, sets in an order of their own. */
export function normalise(rule: Rule, value: Value | undefined): Value {
  if (value === undefined || value === null) return defaultOf(rule) ?? zero(rule);
  if (rule.kind === "block" && isObject(value)) return normaliseFields(rule.of, value);
  if ((rule.kind === "list" || rule.kind === "set") && Array.isArray(value)) {
    const items = value.map((item) => normalise(rule.of, item));
    return rule.kind === "list" ? items : sorted(items);
  }
  if (rule.kind === "map" && isObject(value)) return Object.fromEntries(entries(value));
  return value;
}

function normaliseFields(fields: Fields, value: Properties): Properties {
  return Object.fromEntries(Object.entries(fields).map(([key, rule]) => [key, normalise(rule, value[key])]));
}

function entries(value: Properties): [string, Value][] {
  return Object.entries(value)
    .filter(([key]) => !isNote(key))
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Of a set only membership counts; the same element twice is one. */
function sorted(items: Value[]): Value[] {
  const unique = new Map(items.map((item) => [canonical(item), item]));
  return [...unique.entries()].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, item]) => item);
}

export function canonical(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (isObject(value))
    return `{${entries(value)
      .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
      .join()}}`;
  return JSON.stringify(value);
}

/** Without the bridge's notes, at any depth: what becomes of inputs when they are outputs. */
export function withoutNotes(value: Value): Value {
  if (Array.isArray(value)) return value.map(withoutNotes);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !isNote(key))
      .map(([key, item]) => [key, withoutNotes(item)]),
  );
}

export function strings(value: Value | undefined): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

export function objects(value: Value | undefined): Properties[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function texts(value: Value | undefined): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(entries(value).map(([key, item]) => [key, String(item)]));
}

/** Docker's labels, and the provider's. */
export function labelsToMap(value: Value | undefined): Record<string, string> {
  return Object.fromEntries(objects(value).map((item) => [String(item.label), String(item.value)]));
}

export function mapToLabels(labels: Record<string, string> | null | undefined): Properties[] {
  return Object.entries(labels ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, value]) => ({ label, value }));
}
