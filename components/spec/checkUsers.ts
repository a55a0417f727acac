import type { RedisClusterArgs, UserArgs } from "./args";
import { DEFAULTS } from "./defaults";
import {
  type Problems,
  readBoolean,
  readInteger,
  readSecretObject,
  readText,
  readWords,
  refuseUnknownKeys,
  show,
} from "./reader";
import type { Engine, Problem, UserSpec, UsersSpec } from "./spec";

/** Users that the component makes itself. */
export const SYSTEM_USERS = ["admin", "monitor", "replication"] as const;
const RESERVED: Readonly<Record<string, string>> = {
  default: "the server's own first user, which is kept closed",
  admin: "the user that the component itself logs in as",
  monitor: "the user that the component makes for monitoring",
  replication: "the user that the component makes for replicas",
};

/** Judges the command rules of one user for this engine, where it is known which. */
export type JudgeCommands = (
  property: string,
  rules: readonly string[],
  engine: Engine | undefined,
) => readonly Problem[];

const SHORT_PASSWORD = 16;
const MOST_OVERLAP_SECONDS = 30 * 24 * 3600;

/** Users as declared; undefined where none are, and the cluster stays open. */
export function checkUsers(
  problems: Problems,
  args: RedisClusterArgs,
  engine: Engine | undefined,
  judge: JudgeCommands,
): UsersSpec | undefined {
  const rotation = readText(problems, "passwordRotation", args.passwordRotation) ?? "";
  const overlapSeconds = readInteger(
    problems,
    "passwordOverlapSeconds",
    args.passwordOverlapSeconds,
    DEFAULTS.passwordOverlapSeconds,
    { least: 0, use: "use 0 (the next `up` ends former passwords) or more", most: MOST_OVERLAP_SECONDS },
  );
  const openDefaultUser = readBoolean(problems, "openDefaultUser", args.openDefaultUser, DEFAULTS.openDefaultUser);
  if (args.users === undefined) {
    for (const property of ["passwordRotation", "passwordOverlapSeconds", "openDefaultUser"] as const)
      if (args[property] !== undefined)
        problems.error(
          property,
          "has no effect without users; declare `users` ({} for none of your own), or leave it out",
        );
    return undefined;
  }
  if (openDefaultUser)
    problems.warn(
      "openDefaultUser",
      "anybody who reaches a node may do anything without a password; take it out once every client logs in as a user of its own",
    );
  const declared: UserSpec[] = [];
  for (const [name, value] of Object.entries(
    readSecretObject(problems, "users", args.users, "{ name: { keys, channels, commands } }"),
  )) {
    if (value === undefined) continue;
    declared.push(checkUser(problems, name, value, engine, judge));
  }
  return { declared, rotation, overlapSeconds, openDefaultUser };
}

function checkUser(
  problems: Problems,
  name: string,
  value: unknown,
  engine: Engine | undefined,
  judge: JudgeCommands,
): UserSpec {
  const property = `users.${/^[\w.@-]+$/.test(name) ? name : show(name)}`;
  if (Object.hasOwn(RESERVED, name.toLowerCase()))
    problems.error(property, `is reserved: ${RESERVED[name.toLowerCase()]}; use another name`);
  else if (!/^[a-z0-9][a-z0-9_.@-]{0,62}$/i.test(name))
    problems.error(
      property,
      "is no name of a user; use up to 63 letters, digits, `-`, `_`, `.` and `@`, a letter or digit first",
    );
  const given: { [K in keyof UserArgs]: unknown } & { password?: unknown } = readSecretObject(
    problems,
    property,
    value ?? null,
    "{ keys, channels, commands, password }",
  );
  refuseUnknownKeys(problems, `${property}.`, given, ["keys", "channels", "commands", "password"]);
  const keys = readWords(problems, `${property}.keys`, given.keys);
  const channels = readWords(problems, `${property}.channels`, given.channels);
  const commands = readWords(problems, `${property}.commands`, given.commands);
  checkPatterns(problems, `${property}.keys`, keys, "key");
  checkPatterns(problems, `${property}.channels`, channels, "channel");
  if (problems.isSound(property) && problems.isSound(`${property}.commands`)) {
    if (commands.length === 0)
      problems.error(
        `${property}.commands`,
        'none, so the user may do nothing; give some, such as ["+@read", "+@write"]',
      );
    problems.list.push(...judge(`${property}.commands`, commands, engine));
  }
  if (keys.includes("*"))
    problems.warn(
      `${property}.keys`,
      '"*" is every key; a prefix such as "session:*" keeps users out of each other\'s data',
    );
  checkPassword(problems, `${property}.password`, given.password);
  return { name, keys, channels, commands };
}

function checkPatterns(
  problems: Problems,
  property: string,
  patterns: readonly string[],
  what: "key" | "channel",
): void {
  const seen = new Set<string>();
  for (const pattern of patterns) {
    const sign = what === "key" ? "~" : "&";
    // One word of a file in which nothing can be quoted.
    if (pattern === "" || /[\s\p{C}\p{Z}]/u.test(pattern))
      problems.error(property, `${show(pattern)} is empty or has blanks or control characters; use \`?\` for a blank`);
    else if (pattern.startsWith(sign))
      problems.error(
        property,
        `${show(pattern)}: leave out the \`${sign}\`, as in "${pattern.slice(1) || "session:*"}"`,
      );
    else if (what === "key" && pattern.startsWith("%") && !/^%(R|W|RW)~./.test(pattern))
      problems.error(
        property,
        `${show(pattern)}: use %R~ (read), %W~ (write) or %RW~ and a pattern, as in "%R~session:*"`,
      );
    else if (seen.has(pattern)) problems.error(property, `${show(pattern)} is there twice; keep one`);
    seen.add(pattern);
  }
  if (patterns.length > 1 && patterns.includes("*"))
    problems.error(property, '"*" allows everything, so the others have no effect; leave them out, or "*"');
}

/** The value is never shown, whatever it is. */
function checkPassword(problems: Problems, property: string, value: unknown): void {
  if (value === undefined) return;
  const later = typeof value === "object" && value !== null && ("apply" in value || "then" in value);
  if (later) return;
  if (typeof value !== "string")
    problems.error(property, `got a ${typeof value}; must be a string, better a secret Output`);
  else if (value === "") problems.error(property, "is empty; give one, or leave it out to have one generated");
  else if (value.length < SHORT_PASSWORD)
    problems.warn(
      property,
      `has ${value.length} characters; use ${SHORT_PASSWORD} or more, or leave it out to have one generated: servers answer many thousand guesses a second`,
    );
}
