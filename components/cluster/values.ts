import { createHash } from "node:crypto";

export { hasUnknown } from "../formation/runner/unknowns";

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

/** A name for what these values are: the same for the same, derived and not random, so that a preview shows the same again and again. */
export function deriveToken(...parts: unknown[]): string {
  return createHash("sha256").update(canonical(parts)).digest("hex").slice(0, 12);
}
