import { unknownValue } from "@pulumi/pulumi/runtime/rpc";

/** Tells whether a value is, or holds, one that Pulumi does not know yet: dynamic providers see those as marked strings. */
export function hasUnknown(value: unknown): boolean {
  if (typeof value === "string") return value === unknownValue;
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return false;
}

/** Equality of plain data, whatever the order of keys: values that went through state come back in another order. */
export function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, child]) => child !== undefined);
    return `{${entries
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, child]) => `${JSON.stringify(key)}:${canonical(child)}`)
      .join(",")}}`;
  }
  return JSON.stringify(value) ?? "null";
}
