import type { Engine, Problem } from "../spec/spec";
import { canonicalName, type DirectiveFact, type DirectiveTable, directiveTable, directiveTables } from "./directives";
import { refusal } from "./managed";
import { mergeBufferLimits, parseMemory } from "./normalize";

/**
 * Everything that is wrong with `redisConfig` for this engine and version, all of it at once, sorted by name. Where the engine
 * is not known: what is wrong for any.
 */
export function checkRedisConfig(redisConfig: Readonly<Record<string, string>>, engine: Engine | undefined): Problem[] {
  const table = engine && directiveTable(engine);
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const [given, value] of Object.entries(redisConfig).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const add = (severity: Problem["severity"], message: string) =>
      problems.push({ severity, property: `redisConfig.${printable(given)}`, message });
    if (!/^[a-z0-9_-]+$/i.test(given)) {
      add(
        "error",
        `${JSON.stringify(given)} is no name of a directive; use letters, digits and hyphens, as in redis.conf`,
      );
      continue;
    }
    const name = given.toLowerCase();
    const twin = seen.get(canonicalName(name));
    seen.set(canonicalName(name), given);
    if (twin !== undefined) add("error", `is the same directive as ${twin}; keep one of them`);
    const refused = refusal(name);
    if (refused !== undefined) {
      add("error", refused);
      continue;
    }
    if (!engine || !table) {
      if (!knownSomewhere(name)) add("warning", unknownAnywhere(name));
      continue;
    }
    const fact = table.facts.get(name);
    if (!fact) {
      const severity = table.evidence === "newer" && !knownSomewhere(name) ? "warning" : "error";
      add(severity, unknown(name, table, engine));
      continue;
    }
    const wrong = badValue(fact, value);
    if (wrong !== undefined) add("error", wrong);
  }
  return problems;
}

function unknown(name: string, table: DirectiveTable, engine: Engine): string {
  const tables = directiveTables(engine.name);
  const first = tables.find(({ facts }) => facts.has(name));
  const last = tables.findLast(({ facts }) => facts.has(name));
  const head = `unknown to ${table.label}`;
  if (first && last) {
    // Known to this engine, so before or after: a name that went away and one that has not come yet read differently.
    const later =
      tables.indexOf(first) > tables.findIndex(({ label }) => label === table.label) && table.evidence !== "newer";
    return later ? `${head}; known from ${first.label} on` : `${head}; known up to ${last.label}; leave it out`;
  }
  const other = directiveTables(engine.name === "redis" ? "valkey" : "redis").find(({ facts }) => facts.has(name));
  if (other) return `${head}; ${other.label} has it, ${engine.name} does not; leave it out`;
  const near = nearest(name, [...table.facts.keys()]);
  if (near !== undefined) return `${head}; did you mean ${near}?`;
  if (table.evidence === "newer")
    return `${head} as far as known here; the server does not start if it does not know it`;
  return `${head}; see CONFIG GET * of a running server for what there is`;
}

function unknownAnywhere(name: string): string {
  const tables = [...directiveTables("redis"), ...directiveTables("valkey")];
  const near = nearest(name, [...new Set(tables.flatMap(({ facts }) => [...facts.keys()]))]);
  return `unknown to every version of redis and valkey that is known here; ${near === undefined ? "see CONFIG GET * of a running server for what there is" : `did you mean ${near}?`}`;
}

function knownSomewhere(name: string): boolean {
  return [...directiveTables("redis"), ...directiveTables("valkey")].some(({ facts }) => facts.has(name));
}

/** What is cheap to see in a value; the server has the last word. */
function badValue(fact: DirectiveFact, value: string): string | undefined {
  const shown = JSON.stringify(value);
  if (/[\0\r\n]/.test(value)) return `${shown} has a line break or a null character; use one line`;
  const text = value.trim();
  switch (fact.kind) {
    case "yesno":
      return /^(yes|no)$/i.test(text) ? undefined : `${shown} is neither; use "yes" or "no"`;
    case "enum": {
      const allowed = fact.values ?? [];
      // Some take several words (`nosave now`), and only the server knows which go together.
      const wrong = text === "" || text.split(/\s+/).some((word) => !allowed.includes(word.toLowerCase()));
      return wrong ? `${shown} is not allowed; use one of ${allowed.map((word) => `"${word}"`).join(", ")}` : undefined;
    }
    case "integer":
      // Servers refuse leading zeros and signs.
      return /^(0|-?[1-9]\d*)$/.test(text)
        ? outside(fact, BigInt(text), shown)
        : `${shown} is not a whole number; use one like "100"`;
    case "memoryOrPercent":
      if (/^\d+%$/.test(text)) return undefined;
      return parseMemory(text) === undefined
        ? `${shown} is neither a size nor a share; use one like "512mb" or "5%"`
        : undefined;
    case "memory": {
      const bytes = parseMemory(text) ?? (/^-\d+$/.test(text) ? BigInt(text) : undefined);
      // Only some take negative numbers, and those have their own bounds.
      if (bytes === undefined || (bytes < 0n && fact.min === undefined))
        return `${shown} is not a size; use one like "512mb" or "10gb"`;
      return outside(fact, bytes, shown);
    }
    case "octal":
      return /^[0-7]+$/.test(text) ? undefined : `${shown} is not an octal number; use one like "700"`;
    default:
      return fact.name === "client-output-buffer-limit" ? badLimits(text, shown) : undefined;
  }
}

function outside({ min, max }: DirectiveFact, number: bigint, shown: string): string | undefined {
  const fits = (min === undefined || number >= min) && (max === undefined || number <= max);
  return fits ? undefined : `${shown} is out of range; use ${min ?? "any"} to ${max ?? "any"}`;
}

function badLimits(text: string, shown: string): string | undefined {
  const merged = mergeBufferLimits("", text);
  const form = /^(?:(?:normal|replica|pubsub) \d+ \d+ \d+(?: |$))+$/;
  return form.test(merged)
    ? undefined
    : `${shown} is not a list of limits; use "<class> <hard> <soft> <seconds>", as in "replica 512mb 128mb 60"`;
}

function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  // A third of the letters: `maxmemmory` is a slip, `foo` is not one for `hz`.
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < least) {
      best = candidate;
      least = distance;
    }
  }
  return best;
}

/** Levenshtein's: how many letters to insert, delete or replace. */
export function editDistance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (before[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, (before[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    before = row;
  }
  return before[b.length] ?? 0;
}

/** A name may be anything that a user typed; a problem is one line. */
function printable(name: string): string {
  return /^[\x21-\x7e]+$/.test(name) ? name : JSON.stringify(name);
}
