import type { Sdk } from "./sdk";

/** A property value as it travels: JSON, with secrets and unknowns marked the way the SDK marks them. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };
export type Properties = { [key: string]: Value };

const secretMarker = Symbol("secret");

/** A secret. A class of its own, so that nothing prints or compares one by accident as if it were plain. */
export class Secret {
  readonly [secretMarker] = true;
  readonly element: Value;
  constructor(element: Value) {
    this.element = element;
  }
  toJSON(): string {
    return "[secret]";
  }
}

export function isSecret(value: unknown): value is Secret {
  return value instanceof Secret;
}

/** Secrets live inside property trees; this keeps the recursive type simple. */
export function secret(element: Value): Value {
  return (isSecret(element) ? element : new Secret(element)) as unknown as Value;
}

export function isObject(value: unknown): value is { [key: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isSecret(value);
}

/** From the wire. Assets, archives and resource references need storage this engine has not got: they are refused. */
export function fromWire(sdk: Sdk, value: unknown): Value {
  if (Array.isArray(value)) return value.map((item) => fromWire(sdk, item));
  if (typeof value !== "object" || value === null) return (value ?? null) as Value;
  const object = value as Record<string, unknown>;
  const signature = object[sdk.signatureKey];
  if (signature === sdk.secretSignature) return secret(fromWire(sdk, object.value));
  if (signature === sdk.outputSignature) {
    const element = object.value === undefined ? sdk.unknown : fromWire(sdk, object.value);
    return object.secret ? secret(element) : element;
  }
  if (signature !== undefined) {
    throw new Error("assets, archives and resource references are not implemented by the hermetic engine");
  }
  const result: Properties = {};
  for (const [key, item] of Object.entries(object)) if (item !== undefined) result[key] = fromWire(sdk, item);
  return result;
}

export function propertiesFromWire(sdk: Sdk, struct: unknown): Properties {
  const message = struct as { toJavaScript(): unknown } | undefined;
  return message ? (fromWire(sdk, message.toJavaScript()) as Properties) : {};
}

/** To the wire; `keepSecrets` is false towards dynamic providers, which do not accept marked secrets. */
export function toWire(sdk: Sdk, value: Value, keepSecrets: boolean): unknown {
  if (isSecret(value)) {
    const element = toWire(sdk, value.element, keepSecrets);
    return keepSecrets ? { [sdk.signatureKey]: sdk.secretSignature, value: element } : element;
  }
  if (Array.isArray(value)) return value.map((item) => toWire(sdk, item, keepSecrets));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toWire(sdk, item, keepSecrets)]));
}

export function propertiesToWire(sdk: Sdk, properties: Properties, keepSecrets: boolean): unknown {
  return sdk.struct.Struct.fromJavaScript(toWire(sdk, properties, keepSecrets));
}

export function unwrap(value: Value): Value {
  if (isSecret(value)) return unwrap(value.element);
  if (Array.isArray(value)) return value.map(unwrap);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unwrap(item)]));
}

/** For people and logs: every secret replaced. */
export function redact(value: Value): Value {
  if (isSecret(value)) return "[secret]";
  if (Array.isArray(value)) return value.map(redact);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redact(item)]));
}

export function containsSecrets(value: Value): boolean {
  if (isSecret(value)) return true;
  if (Array.isArray(value)) return value.some(containsSecrets);
  return isObject(value) && Object.values(value).some(containsSecrets);
}

export function containsUnknowns(unknown: string, value: Value): boolean {
  if (value === unknown) return true;
  if (isSecret(value)) return containsUnknowns(unknown, value.element);
  if (Array.isArray(value)) return value.some((item) => containsUnknowns(unknown, item));
  return isObject(value) && Object.values(value).some((item) => containsUnknowns(unknown, item));
}

export function deepEquals(a: Value | undefined, b: Value | undefined): boolean {
  if (isSecret(a) || isSecret(b)) return isSecret(a) && isSecret(b) && deepEquals(a.element, b.element);
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => deepEquals(item, b[i]));
  if (isObject(a)) {
    if (!isObject(b)) return false;
    const keys = Object.keys(a);
    return keys.length === Object.keys(b).length && keys.every((key) => key in b && deepEquals(a[key], b[key]));
  }
  return a === b;
}

/**
 * A provider that got its secrets as plain text returns them as plain text. What it returns under the name of a secret
 * input is a secret again; anything else would be written to the state in the clear.
 */
export function annotateSecrets(outputs: Properties, inputs: Properties): void {
  for (const [key, input] of Object.entries(inputs)) {
    const output = outputs[key];
    if (output === undefined) continue;
    if (isObject(output) && isObject(input)) annotateSecrets(output, input);
    else if (!isSecret(output) && containsSecrets(input)) outputs[key] = secret(output);
  }
}

/** Splits `a.b[0]["c"]`, the notation of ignoreChanges and replaceOnChanges. */
export function parsePath(text: string): (string | number)[] {
  const parts: (string | number)[] = [];
  const pattern = /\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\[\*\]|\.?([^.[\]]+)/gy;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    if (match[1] !== undefined) parts.push(Number(match[1]));
    else parts.push(match[2]?.replaceAll('\\"', '"') ?? match[3] ?? "*");
  }
  return parts;
}

/** Sets what `path` names in `to` back to its value in `from`; false when that value has no place there. */
export function resetPath(path: (string | number)[], from: Value | undefined, to: Properties | Value[]): boolean {
  const [head, ...rest] = path;
  if (head === undefined) return true;
  const source = isSecret(from) ? from.element : from;
  if (head === "*") {
    const keys = Array.isArray(to) ? [...to.keys()] : Object.keys({ ...to, ...(isObject(source) ? source : {}) });
    return keys.map((key) => resetPath([key, ...rest], source, to)).every(Boolean);
  }
  const old =
    Array.isArray(source) && typeof head === "number" ? source[head] : isObject(source) ? source[head] : undefined;
  const target = to as Record<string | number, Value>;
  if (rest.length > 0) {
    const next = target[head];
    if (next === undefined || old === undefined) return next === undefined && old === undefined;
    const copy = structuredCloneValue(isSecret(next) ? next.element : next);
    if (!Array.isArray(copy) && !isObject(copy)) return false;
    const reset = resetPath(rest, old, copy);
    target[head] = isSecret(next) ? secret(copy) : copy;
    return reset;
  }
  if (old === undefined) {
    if (Array.isArray(to)) return target[head] === undefined;
    delete target[head];
    return true;
  }
  target[head] = old;
  return true;
}

export function structuredCloneValue(value: Value): Value {
  if (isSecret(value)) return value as unknown as Value;
  if (Array.isArray(value)) return value.map(structuredCloneValue);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, structuredCloneValue(item)]));
}
