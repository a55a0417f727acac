import type { Engine } from "../../../components/spec/spec";

/** Repositories of official images, by engine. */
const OFFICIAL = { redis: "redis", valkey: "valkey/valkey" } as const;

/** The official image of an engine: `redis:8.0`, `valkey/valkey:9.1`. */
export function officialImage({ name, version }: Engine): string {
  return `${OFFICIAL[name]}:${version}`;
}

/**
 * What an image's name says of the server in it: the last part of its repository has the engine, its tag begins with the version.
 * @returns undefined where it does not say so
 */
export function engineOfImage(image: string): Engine | undefined {
  const [reference = ""] = image.split("@");
  const match =
    /^(?:.*\/)?(redis|valkey)(?:-(?:stack|cluster|bundle|server|stack-server))?:v?(\d+\.\d+(?:\.\d+)?)(?![\d.])/.exec(
      reference,
    );
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { name: match[1] === "valkey" ? "valkey" : "redis", version: match[2] };
}

/** Why this can be no image's name, or undefined where it can. */
export function imageProblem(image: string): string | undefined {
  const tag = "(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?";
  const digest = "(?:@sha256:[0-9a-f]{64})?";
  const part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
  const host = "(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?";
  const whole = new RegExp(`^(?:${host}${part}(?:/${part})*${tag}${digest}|sha256:[0-9a-f]{64})$`);
  return whole.test(image)
    ? undefined
    : 'is no image; use a name with a tag ("redis:8.0") or a digest ("redis@sha256:…")';
}
