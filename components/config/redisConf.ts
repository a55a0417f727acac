import type { Directive } from "./types";

/**
 * Text of redis.conf. The order of the directives is kept: whoever made them has sorted them, and of two lines with the
 * same name the later one holds.
 */
export function renderRedisConf(directives: readonly Directive[], header?: string): string {
  const lines = header === undefined ? [] : [...header.split(/\r\n|\r|\n/).map((line) => `# ${line}`.trimEnd()), ""];
  for (const directive of directives) lines.push(...renderDirective(directive));
  return lines.map((line) => `${line}\n`).join("");
}

function renderDirective({ name, value }: Directive): string[] {
  if (!/^[a-z][a-z0-9_-]*$/i.test(name))
    throw new Error(`directive name ${JSON.stringify(name)} is no name of redis.conf`);
  const key = name.toLowerCase();
  const words = value.split(/\s+/).filter((word) => word !== "");
  if (key === "client-output-buffer-limit" && words.length > 0 && words.length % 4 === 0) {
    // Redis 7.0 takes several classes in one line, older ones do not; one line a class is read by all of them.
    return chunks(words, 4).map((chunk) => `${key} ${chunk.join(" ")}`);
  }
  if (MULTIPLE.has(key) && words.length > 0) return [`${key} ${words.map(quoteWord).join(" ")}`];
  return [`${key} ${quoteWord(value)}`];
}

/** Directives whose value is a list of words. Of every other one a value with blanks is one word, quoted. */
export const MULTIPLE: ReadonlySet<string> = new Set([
  "bind",
  "client-output-buffer-limit",
  "latency-tracking-info-percentiles",
  "oom-score-adj-values",
  "rdma-bind",
  "replicaof",
  "save",
  "slaveof",
]);

/** One word as the server's line splitter reads it: bare where nothing in it is special, else in double quotes. */
export function quoteWord(word: string): string {
  if (/^[\x21-\x7e]+$/.test(word) && !/["'\\#]/.test(word)) return word;
  let quoted = "";
  for (const byte of new TextEncoder().encode(word)) {
    const character = String.fromCharCode(byte);
    if (character === '"' || character === "\\") quoted += `\\${character}`;
    else if (ESCAPES[character] !== undefined) quoted += ESCAPES[character];
    // Bytes beyond ASCII stay as they are outside of this escape too, but an escape survives editors and terminals.
    else if (byte < 0x20 || byte > 0x7e) quoted += `\\x${byte.toString(16).padStart(2, "0")}`;
    else quoted += character;
  }
  return `"${quoted}"`;
}

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\x07": "\\a", "\b": "\\b" };

function chunks<T>(items: readonly T[], size: number): T[][] {
  const result: T[][] = [];
  for (let start = 0; start < items.length; start += size) result.push(items.slice(start, start + size));
  return result;
}
