/** What Pulumi's dynamic providers take as "created or changed in part": state is kept and the next `up` goes on. */
export function partialFailure(id: string, properties: object, message: string): Error {
  return Object.assign(new Error(message), {
    id,
    properties: withoutUndefined(properties),
    reasons: ["not complete; the next `up` goes on from here"],
  });
}

/** `undefined` anywhere in returned outputs fails after the fact, with no state saved. */
export function withoutUndefined<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutUndefined) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([k, v]) => (v === undefined ? [] : [[k, withoutUndefined(v)]])),
  ) as T;
}
