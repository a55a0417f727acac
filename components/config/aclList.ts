import { allowedBy } from "./commandRules";
import type { CommandTable } from "./commands";
import type { AclUser } from "./types";

/** One user as a server reports it in ACL LIST. */
export interface ReportedUser {
  readonly name: string;
  readonly enabled: boolean;
  /** Anybody may log in as this user, without a password. */
  readonly nopass: boolean;
  /** SHA-256 of each password, sorted. */
  readonly passwordHashes: readonly string[];
  /** As patterns of `AclUser`, sorted. */
  readonly keys: readonly string[];
  readonly channels: readonly string[];
  readonly commands: readonly string[];
  /** Whatever else is there, such as selectors: nothing that is ever declared. */
  readonly more: readonly string[];
}

/** Flags that say what holds anyway. */
const USUAL = new Set(["sanitize-payload", "resetchannels", "resetkeys", "clearselectors"]);

/** A line of ACL LIST. Undefined where it is none. */
export function parseAclLine(line: string): ReportedUser | undefined {
  // A selector is the only part with blanks in it.
  const words = line.match(/\([^)]*\)|\S+/g) ?? [];
  const [keyword, name, ...rules] = words;
  if (keyword !== "user" || name === undefined) return undefined;
  const starting = (prefix: string) =>
    rules.filter((word) => word.startsWith(prefix)).map((w) => w.slice(prefix.length));
  const keys = rules.filter((word) => /^(~|%)/.test(word));
  const known = (word: string) => /^[#~%&+-]/.test(word) || ["on", "off", "nopass"].includes(word) || USUAL.has(word);
  return {
    name,
    enabled: rules.includes("on"),
    nopass: rules.includes("nopass"),
    passwordHashes: starting("#").sort(),
    keys: keys.map((word) => word.replace(/^(~|%RW~)/i, "")).sort(),
    channels: starting("&").sort(),
    commands: rules.filter((word) => /^[+-]/.test(word)),
    more: rules.filter((word) => !known(word)),
  };
}

/** What a reported user has otherwise than declared, in words for people, without any hash; empty where both mean the same. */
export function differences(declared: AclUser, reported: ReportedUser, table: CommandTable): string[] {
  const is = canonical(declared);
  const words: string[] = [];
  if (is.enabled !== reported.enabled) words.push(reported.enabled ? "enabled" : "disabled");
  if (is.nopass !== reported.nopass) words.push(reported.nopass ? "open without a password" : "no longer open");
  if (!equal(is.passwordHashes, reported.passwordHashes)) words.push("other passwords");
  if (!equal(is.keys, reported.keys)) words.push("other keys");
  if (!equal(is.channels, reported.channels)) words.push("other channels");
  const [want, have] = [declared.commands ?? [], reported.commands].map((rules) => [...allowedBy(rules, table)].sort());
  if (!equal(want ?? [], have ?? [])) words.push("other commands");
  if (reported.more.length > 0) words.push("further rules");
  return words;
}

/** A declared user in the form in which servers report one. */
function canonical({ passwordHashes, keys = [], channels = [], enabled = true, nopass = false }: AclUser) {
  const one = (patterns: readonly string[]) => {
    const all = [...new Set(patterns.map((pattern) => pattern.replace(/^%RW~/i, "")))].sort();
    return all.includes("*") ? ["*"] : all;
  };
  return {
    enabled,
    nopass,
    passwordHashes: [...new Set(passwordHashes)].sort(),
    keys: one(keys),
    channels: one(channels),
  };
}

/** How a server reports a user that is as declared. */
export function reportedAs(user: AclUser): ReportedUser {
  return { name: user.name, ...canonical(user), commands: user.commands ?? [], more: [] };
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}
