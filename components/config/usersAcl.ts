import type { Engine } from "../spec/spec";
import type { AclUser } from "./types";

/**
 * The server's own first user. Closed it is off and nobody can log in as it, but it keeps its rights: with `-@all` the
 * append-only file, which is replayed as this user, would silently lose its transactions at the next start.
 */
export function defaultUser(open: boolean): AclUser {
  return {
    name: "default",
    passwordHashes: [],
    keys: ["*"],
    channels: ["*"],
    commands: ["+@all"],
    enabled: open,
    nopass: open,
  };
}

/**
 * Text of users.acl: hashes only, never a password. In this file nothing can be quoted, and a blank or a line break in a
 * name or pattern would be a rule of its own; so those are refused.
 *
 * @param open whether the default user stays as it is without this file. Default: it is closed
 * @throws Error that names every user and what is wrong with it.
 */
export function renderUsersAcl(users: readonly AclUser[], open = false): string {
  const problems = checkAclUsers(users);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const sorted = [...users].sort((a, b) => (a.name < b.name ? -1 : 1));
  const lines = sorted.map((user) => ["user", user.name, ...aclWords(user)].join(" "));
  return `${[`user default ${open ? "on nopass" : "off resetpass"} ~* &* +@all`, ...lines].join("\n")}\n`;
}

/** The rules of a user, each a word: of users.acl, and of ACL SETUSER, where `reset` comes before them. */
export function aclWords(user: AclUser): string[] {
  return [
    user.enabled === false ? "off" : "on",
    ...(user.nopass ? ["nopass"] : ["resetpass"]),
    ...[...new Set(user.passwordHashes)].sort().map((hash) => `#${hash}`),
    "resetkeys",
    ...sortedSet(user.keys).map((pattern) => (KEY_PREFIX.test(pattern) ? pattern : `~${pattern}`)),
    "resetchannels",
    ...sortedSet(user.channels).map((pattern) => `&${pattern}`),
    // Rules that follow each other change one another: their order is the user's.
    "-@all",
    ...(user.commands ?? []),
  ];
}

function sortedSet(patterns: readonly string[] = []): string[] {
  const all = [...new Set(patterns)].sort();
  // A server refuses a pattern beside one that already allows everything.
  return all.includes("*") ? ["*"] : all;
}

const KEY_PREFIX = /^%(R|W|RW)~/;

/** What is wrong with users, one sentence each; empty where all is well. */
export function checkAclUsers(users: readonly AclUser[]): string[] {
  const problems: string[] = [];
  const names = new Set<string>();
  for (const user of users) {
    const shown = JSON.stringify(user.name);
    const add = (what: string) => problems.push(`user ${shown}: ${what}`);
    if (!isWord(user.name)) add("a name has no blanks and no control characters; use letters, digits, `-` and `_`");
    if (user.name === "default") add("the default user is kept closed; use another name");
    if (names.has(user.name)) add("is there twice; keep one");
    names.add(user.name);
    if (user.enabled !== false && user.passwordHashes.length === 0)
      add("has no password and could not log in; give a password or disable it");
    for (const hash of user.passwordHashes) {
      // The value is not shown: who put a password here instead of its hash would find it in a log.
      if (!/^[0-9a-f]{64}$/.test(hash))
        add("a password hash is not 64 hex digits in lower case; give the SHA-256 of the password");
    }
    for (const [what, patterns] of [
      ["key", user.keys],
      ["channel", user.channels],
    ] as const) {
      for (const pattern of patterns ?? []) {
        if (!isWord(pattern))
          add(
            `${what} pattern ${JSON.stringify(pattern)} is empty or has blanks or control characters; use \`?\` for a blank`,
          );
        else if (what === "key" && pattern.startsWith("%") && !/^%(R|W|RW)~./.test(pattern)) {
          add(`key pattern ${JSON.stringify(pattern)}: use %R~, %W~ or %RW~ and a pattern`);
        }
      }
    }
    for (const rule of user.commands ?? []) {
      if (!/^[+-](@[a-z]+|[a-z0-9][a-z0-9._-]*(\|[a-z0-9][a-z0-9._-]*)?)$/i.test(rule)) {
        add(
          `command rule ${JSON.stringify(rule)} is none; use +command, -command, +command|subcommand, +@category or -@category`,
        );
      }
    }
  }
  return problems;
}

/** One word of the file. Unicode's blanks and controls count too: they would not show in a review. */
function isWord(text: string): boolean {
  return text !== "" && !/[\s\p{C}\p{Z}]/u.test(text);
}

/**
 * The user that replicas log in with at their master (`masteruser`). From Valkey 9 on a node that hands over slots logs in
 * with it at the new owner too, which then checks the stream of keys and writes against its rights: with less than
 * this, CLUSTER MIGRATESLOTS says OK and the job fails. MULTI and EXEC were not seen to be checked; they are here because
 * the stream carries transactions, and a hand-over that fails under some load only is the worse mistake.
 */
export function replicationUser(engine: Engine, name: string, passwordHashes: readonly string[]): AclUser {
  const commands = ["+psync", "+replconf", "+ping"];
  if (engine.name !== "valkey" || Number.parseInt(engine.version, 10) < 9) return { name, passwordHashes, commands };
  return {
    name,
    passwordHashes,
    keys: ["*"],
    commands: ["+@write", "+cluster|syncslots", "+exec", "+multi", "+select", ...commands],
  };
}
