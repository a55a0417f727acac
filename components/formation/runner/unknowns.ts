import { unknownValue } from "@pulumi/pulumi/runtime/rpc";

/** During preview, values that are not known yet reach a provider as this sentinel, at any depth. */
export function hasUnknown(value: unknown): boolean {
  if (value === unknownValue) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (value !== null && typeof value === "object") return Object.values(value).some(hasUnknown);
  return false;
}

/** For what follows from a value that is not known yet. */
export const UNKNOWN: string = unknownValue;

export function isUnknown(value: unknown): boolean {
  return value === unknownValue;
}
