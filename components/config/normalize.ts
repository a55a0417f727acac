import { formatSize } from "../spec/sizes";
import { canonicalName, directiveKind } from "./directives";

/**
 * One spelling for every value that means the same to a server, close to what CONFIG GET prints: `10gb` and
 * `10737418240`, `YES` and `yes`. Compare declared and reported settings with this on both sides.
 */
export function normalizeSetting(name: string, value: string): string {
  const key = canonicalName(name);
  const special = SPECIAL[key];
  if (special) return special(value);
  switch (directiveKind(name) ?? directiveKind(key)) {
    case "yesno":
      return value.trim().toLowerCase();
    case "enum":
      return words(value.toLowerCase()).sort().join(" ");
    case "memory":
    case "memoryOrPercent":
      return memory(value);
    case "integer":
      return integer(value);
    case "octal":
      return /^[0-7]+$/.test(value.trim()) ? Number.parseInt(value.trim(), 8).toString(8) : value;
    default:
      return value;
  }
}

/** A normalized value for a reader: sizes with a unit, `100mb` for `104857600`; everything else as it is. */
export function describeSetting(name: string, value: string): string {
  const key = canonicalName(name);
  const kind = directiveKind(name) ?? directiveKind(key);
  const size = (kind === "memory" || kind === "memoryOrPercent") && /^\d+$/.test(value) && Number(value) > 0;
  return size && Number.isSafeInteger(Number(value)) ? formatSize(Number(value)) : value;
}

const UNITS: Readonly<Record<string, bigint>> = {
  "": 1n,
  b: 1n,
  k: 1000n,
  kb: 1024n,
  m: 1000n ** 2n,
  mb: 1024n ** 2n,
  g: 1000n ** 3n,
  gb: 1024n ** 3n,
};

/** Bytes of a size as redis.conf writes it (`64mb`, `1g`); undefined where it is none. */
export function parseMemory(text: string): bigint | undefined {
  const match = /^(\d+)([a-z]*)$/i.exec(text.trim());
  const unit = UNITS[(match?.[2] ?? "?").toLowerCase()];
  return match?.[1] === undefined || unit === undefined ? undefined : BigInt(match[1]) * unit;
}

function memory(value: string): string {
  return parseMemory(value)?.toString() ?? integer(value);
}

function integer(value: string): string {
  const text = value.trim();
  return /^-?\d+$/.test(text) ? BigInt(text).toString() : text;
}

function words(value: string): string[] {
  return value.split(/\s+/).filter((word) => word !== "");
}

const list = (value: string) => words(value).join(" ");

const SPECIAL: Readonly<Record<string, (value: string) => string>> = {
  bind: list,
  "client-output-buffer-limit": (value) => mergeBufferLimits("", value),
  // The server keeps hz within these bounds without a word.
  hz: (value) => {
    const text = integer(value);
    return /^-?\d+$/.test(text) ? String(Math.min(500, Math.max(1, Number(text)))) : text;
  },
  "latency-tracking-info-percentiles": (value) =>
    words(value)
      .map((word) => String(Number(word)))
      .join(" "),
  "notify-keyspace-events": (value) => [...new Set(value.replaceAll("A", "g$lshzxetd"))].sort().join(""),
  "oom-score-adj": (value) => value.trim().toLowerCase().replace("relative", "yes"),
  "oom-score-adj-values": (value) => words(value).map(integer).join(" "),
  save: (value) => words(value).map(integer).join(" "),
};

const CLASSES = ["normal", "replica", "pubsub"] as const;

/**
 * `client-output-buffer-limit` of all classes in one line, in bytes. A server changes only the classes that a line names
 * and reports all of them, so that a partial value has to be laid over the one before.
 */
export function mergeBufferLimits(before: string, value: string): string {
  const limits = new Map<string, string>();
  const rest: string[] = [];
  for (const text of [before, value]) {
    const parts = words(text);
    for (let at = 0; at < parts.length; at += 4) {
      const [given = "", ...limit] = parts.slice(at, at + 4);
      const name = given.toLowerCase() === "slave" ? "replica" : given.toLowerCase();
      const [hard = "", soft = "", seconds = ""] = limit;
      if (!CLASSES.some((known) => known === name) || limit.length < 3) rest.push([given, ...limit].join(" "));
      else limits.set(name, `${memory(hard)} ${memory(soft)} ${integer(seconds)}`);
    }
  }
  return [...CLASSES.flatMap((name) => (limits.has(name) ? [`${name} ${limits.get(name)}`] : [])), ...rest].join(" ");
}
