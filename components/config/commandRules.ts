import type { CommandTable } from "./commands";

/**
 * Every command and subcommand that rules allow, applied in their order to a user who may do nothing. Two lists of rules mean the same
 * where these sets are equal: servers print rules back in words of their own (Redis 7.0 composes new ones). What the table does
 * not know stands for itself.
 */
export function allowedBy(rules: readonly string[], table: CommandTable): Set<string> {
  const allowed = new Set<string>();
  const change = (name: string, allow: boolean): void => {
    for (const each of [name, ...(table.subcommands.get(name) ?? [])]) allow ? allowed.add(each) : allowed.delete(each);
  };
  for (const rule of rules.map((r) => r.toLowerCase())) {
    const allow = rule.startsWith("+");
    const name = rule.slice(1);
    if (name === "@all" && !allow) allowed.clear();
    else if (name === "@all") for (const each of table.categories.keys()) allowed.add(each);
    else if (name.startsWith("@")) {
      // A command that has subcommands takes them along, whatever they are counted among themselves.
      for (const [each, categories] of table.categories) if (categories.has(name.slice(1))) change(each, allow);
    } else change(name, allow);
  }
  return allowed;
}

/** Rules that keep a user from what is dangerous unless they ask for it: by the category, by everything, or by name. */
export function withoutDangerous(rules: readonly string[]): string[] {
  if (rules.some((rule) => /^[+-]@dangerous$/i.test(rule))) return [...rules];
  const last = rules.findLastIndex((rule) => rule.startsWith("+@"));
  if (last < 0) return [...rules];
  const before = rules.slice(0, last + 1);
  // What was named stays allowed, where nothing behind it took it away again.
  const named = before.filter((rule, i) => /^\+[^@]/.test(rule) && !before.slice(i).includes(`-${rule.slice(1)}`));
  return [...before, "-@dangerous", ...named, ...rules.slice(last + 1)];
}
