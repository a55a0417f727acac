import { closest } from "../spec/reader";
import type { Engine, Problem } from "../spec/spec";
import { allowedBy, withoutDangerous } from "./commandRules";
import { type CommandTable, categoriesOf, commandTable } from "./commands";

const SYNTAX = "use +command, -command, +command|subcommand, +@category or -@category";

/** Everything that is wrong with a user's command rules for this engine and version; where it is not known, only their form. */
export function checkCommandRules(property: string, rules: readonly string[], engine: Engine | undefined): Problem[] {
  const problems: Problem[] = [];
  const error = (message: string) => problems.push({ severity: "error", property, message });
  const table = engine && commandTable(engine);
  for (const [index, rule] of rules.entries()) {
    if (!/^[+-](@[a-z]+|[a-z0-9][a-z0-9._-]*(\|[a-z0-9][a-z0-9._-]*)?)$/i.test(rule))
      error(`${noRule(rule, index)}; ${SYNTAX}`);
    else if (table) {
      const unknown = judge(rule.slice(1).toLowerCase(), table);
      if (unknown === undefined) continue;
      const message = `"${rule}": ${unknown}`;
      // What a version newer than the newest table knows is not known here.
      if (table.evidence === "newer") problems.push({ severity: "warning", property, message });
      else error(message);
    }
  }
  if (table && problems.length === 0) problems.push(...warnings(property, rules, table));
  return problems;
}

/** What ACL SETUSER takes besides, and is declared otherwise here. */
const OTHER_WORDS = /^(all|no|reset)(keys|channels|commands)$|^(on|off|reset)$/i;

/** Whoever copies rules from elsewhere may have a password or its hash among them. */
function noRule(rule: string, index: number): string {
  if (/^[><#!]|^(nopass|resetpass)$/i.test(rule))
    return "passwords do not belong among rules (one begins with > < # or !): give `password`, or leave it out to have one generated";
  // What looks like a rule, and is none, is a typing error; anything else may be anything.
  const isTypo = /^[+-][\w@|.:*-]{1,40}$/.test(rule) || OTHER_WORDS.test(rule);
  return `${isTypo ? JSON.stringify(rule) : `commands[${index}]`} is no rule`;
}

function judge(name: string, table: CommandTable): string | undefined {
  if (name.startsWith("@")) {
    const categories = [...categoriesOf(table), "all"];
    if (categories.includes(name.slice(1))) return undefined;
    const meant = closest(name.slice(1), categories);
    return `${table.label} has no category ${name}; ${meant ? `did you mean @${meant}?` : `use one of ${categories.map((c) => `@${c}`).join(" ")}`}`;
  }
  if (table.categories.has(name)) return undefined;
  const [command = "", subcommand] = name.split("|");
  const known = table.subcommands.get(command) ?? [];
  if (subcommand !== undefined && table.categories.has(command)) {
    if (known.length === 0) return `${command} of ${table.label} has no subcommands; leave out "|${subcommand}"`;
    const meant = closest(name, known);
    return `${table.label} has no ${name}; ${meant ? `did you mean ${meant}?` : `use one of ${known.join(" ")}`}`;
  }
  const meant = closest(
    command,
    [...table.categories.keys()].filter((each) => !each.includes("|")),
  );
  return `${table.label} has no command ${command}${meant ? `; did you mean ${meant}?` : ""}`;
}

/** What is allowed as declared, and more than most people mean. */
function warnings(property: string, rules: readonly string[], table: CommandTable): Problem[] {
  const warn = (message: string): Problem => ({ severity: "warning", property, message });
  const has = (rule: string) => rules.some((each) => each.toLowerCase() === rule);
  if (has("+@all") && !has("-@dangerous"))
    return has("+@dangerous")
      ? [
          warn(
            '"+@all" with "+@dangerous" is an administrator: FLUSHALL, CONFIG SET, SHUTDOWN and all users are in it; name what the user needs',
          ),
        ]
      : [
          warn(
            '"+@all" is every command but the dangerous ones; name the categories that the user needs, such as "+@read" and "+@write"',
          ),
        ];
  const allowed = allowedBy(["-@all", ...withoutDangerous(rules)], table);
  const scripting = ["eval", "evalsha", "fcall"].filter((command) => allowed.has(command));
  return [
    ...(has("+@dangerous") || has("+@admin")
      ? [
          warn(
            `"${has("+@dangerous") ? "+@dangerous" : "+@admin"}" allows to stop servers, change settings and users; name the commands that the user needs`,
          ),
        ]
      : []),
    ...(scripting.length > 0
      ? [
          warn(
            `allows scripts (${scripting.join(", ")}): one that runs long stops its node for everybody; "-@scripting" keeps the user from them`,
          ),
        ]
      : []),
  ];
}
