import type { AclUser } from "../config/types";
import { ADMIN, MONITOR, REPLICATION } from "../config/users";
import type { UsersInput } from "./rotation";
import type { Step } from "./steps";
import type { UsersGoal } from "./users";

const OWN: readonly string[] = [ADMIN, MONITOR, REPLICATION];

/** Who may log in to a cluster that is to be formed. */
export function describeUsers({ rules, openDefaultUser }: UsersInput): string {
  const declared = rules.map(({ name }) => name).filter((name) => !OWN.includes(name));
  const names = [...declared, `the component's own (${OWN.join(", ")})`].join(", ");
  return `users: ${names}; ${openDefaultUser ? "anybody comes in without a password too (openDefaultUser)" : "nobody comes in without a password"}`;
}

/** What the declaration changes of users and passwords, without any of them. */
export function changedUsers(before: UsersGoal | undefined, goal: UsersGoal | undefined): string[] {
  if (!goal) return [];
  const was = new Map(before?.users.map((user) => [user.name, user]));
  const is = new Map(goal.users.map((user) => [user.name, user]));
  const changes: string[] = [];
  if (!before)
    changes.push(
      "the cluster gets users and passwords; what replicas log in with follows, and the default user comes last",
    );
  for (const [name, user] of is) {
    const former = was.get(name);
    if (!former) changes.push(`user ${name}: new`);
    else changes.push(...changedRules(former, user));
  }
  for (const name of was.keys()) if (!is.has(name)) changes.push(`user ${name}: goes, its sessions end`);
  const names = (which: (former: AclUser, user: AclUser) => boolean) =>
    [...is.values()].filter((user) => which(was.get(user.name) ?? user, user)).map(({ name }) => name);
  const added = names((former, user) => user.passwordHashes.some((hash) => !former.passwordHashes.includes(hash)));
  const ended = names((former, user) => former.passwordHashes.some((hash) => !user.passwordHashes.includes(hash)));
  if (added.length > 0) changes.push(`new passwords beside the former ones: ${added.join(", ")}`);
  if (ended.length > 0)
    changes.push(`former passwords end, with the sessions from before the present ones: ${ended.join(", ")}`);
  const open = before?.openDefaultUser ?? true;
  if (open !== goal.openDefaultUser)
    changes.push(
      goal.openDefaultUser ? "the default user opens: anybody comes in" : "the default user closes, its sessions end",
    );
  return changes;
}

function changedRules(former: AclUser, user: AclUser): string[] {
  return (["keys", "channels", "commands"] as const).flatMap((part) => {
    const [was, is] = [former[part] ?? [], user[part] ?? []];
    if (was.join(" ") === is.join(" ")) return [];
    const show = (list: readonly string[]) => (list.length === 0 ? "none" : list.join(" "));
    const more = is.filter((word) => !was.includes(word));
    const less = was.filter((word) => !is.includes(word));
    // A long list of rules is read by what is new in it; where only the order differs, that is the change.
    const said =
      more.length + less.length > 0 ? [...more.map((w) => `add ${w}`), ...less.map((w) => `drop ${w}`)] : [show(is)];
    return [`user ${user.name}: ${part}: ${said.join(", ")}`];
  });
}

/** What clients notice of users and passwords. */
export function effectOnSessions(steps: readonly Step[]): string[] {
  const ending = steps.flatMap((step) => {
    return step.do === "setUser" && step.endSessions === "all" ? [step.user.name] : [];
  });
  const former = steps.some((step) => step.do === "setUser" && step.endSessions === "former");
  const names = [...new Set(ending)].sort();
  const gone = [...new Set(steps.flatMap((step) => (step.do === "deleteUser" ? [step.user] : [])))].sort();
  return [
    ...(names.length > 0
      ? [`sessions of ${names.join(", ")} end: clients that have a password which is valid log in again by themselves`]
      : []),
    ...(gone.length > 0 ? [`whoever comes as ${gone.join(" or ")} is shut out`] : []),
    ...(former ? ["whoever has not taken the present password yet is shut out"] : []),
  ];
}
