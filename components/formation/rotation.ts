import type { AclUser } from "../config/types";
import { REPLICATION, type UserRules } from "../config/users";
import { ownEntry } from "../security/ownEntry";
import type { UsersGoal } from "./users";

/** The passwords of one user: a generation is one that takes the place of the one before. */
export interface PasswordHistory {
  readonly generation: number;
  readonly hash: string;
  /** Those of before, the latest first. */
  readonly former: readonly { readonly generation: number; readonly hash: string }[];
}

/** What formation is told of the users of a closed cluster. */
export interface UsersInput {
  readonly rules: readonly UserRules[];
  readonly openDefaultUser: boolean;
  /** How long a former password stays valid after the new one holds on every node. */
  readonly overlapSeconds: number;
}

/** All of it secret. */
export interface PasswordsInput {
  readonly users: Readonly<Record<string, PasswordHistory>>;
  /** The password that replicas log in with. */
  readonly replication: string;
}

/** Which passwords of a user were last proved to hold on every node. */
export interface InForce {
  readonly generation: number;
  /** Since when the present one does: ISO 8601. */
  readonly since: string;
  /** The first generation that has not ended. */
  readonly oldest: number;
}

export type PasswordsInForce = Readonly<Record<string, InForce>>;

/**
 * The generation from which on passwords of a user are valid. The time of a former one runs from when the new one was proved to hold
 * everywhere: a run that was killed, or failed for a day, takes nothing of it. With `now` absent none ends.
 */
export function oldestValid(
  { generation }: PasswordHistory,
  inForce: InForce | undefined,
  overlapSeconds: number,
  now?: number,
): number {
  if (!inForce) return 0;
  const isOver =
    now !== undefined &&
    inForce.generation === generation &&
    now >= new Date(inForce.since).getTime() + overlapSeconds * 1000;
  return isOver ? generation : Math.min(inForce.oldest, generation);
}

/** Who may log in, and with which passwords, at a time. Absent: at the time of the last proof. */
export function usersGoal(
  { rules, openDefaultUser, overlapSeconds }: UsersInput,
  passwords: PasswordsInput,
  inForce: PasswordsInForce,
  now?: number,
): UsersGoal {
  const users = rules.map((user): AclUser => {
    const history = ownEntry(passwords.users, user.name);
    if (!history) throw new Error(`there is no password for user ${user.name}`);
    const oldest = oldestValid(history, ownEntry(inForce, user.name), overlapSeconds, now);
    const former = history.former.filter(({ generation }) => generation >= oldest).map(({ hash }) => hash);
    return { ...user, passwordHashes: [...new Set([history.hash, ...former])].sort() };
  });
  return {
    users,
    openDefaultUser,
    ended: endedPasswords(passwords, inForce, overlapSeconds, now),
    replication: {
      username: REPLICATION,
      password: passwords.replication,
      passwordHash: passwords.users[REPLICATION]?.hash ?? "",
    },
  };
}

/** Of users whose present password is the only one: those that it took the place of. */
function endedPasswords(
  { users }: PasswordsInput,
  inForce: PasswordsInForce,
  overlapSeconds: number,
  now: number | undefined,
): UsersGoal["ended"] {
  return Object.fromEntries(
    Object.entries(users).flatMap(([name, history]) => {
      const holds = ownEntry(inForce, name);
      const alone = oldestValid(history, holds, overlapSeconds, now) === history.generation;
      if (!holds || !alone || history.former.length === 0) return [];
      return [[name, { hashes: history.former.map(({ hash }) => hash), since: new Date(holds.since).getTime() }]];
    }),
  );
}

/** What a run has proved that began at a time and ended at another. */
export function provedInForce(
  passwords: PasswordsInput,
  inForce: PasswordsInForce,
  overlapSeconds: number,
  { began, ended }: { readonly began: number; readonly ended: number },
): PasswordsInForce {
  return Object.fromEntries(
    Object.entries(passwords.users).map(([name, history]) => {
      const before = ownEntry(inForce, name);
      const oldest = oldestValid(history, before, overlapSeconds, began);
      const since = before?.generation === history.generation ? before.since : new Date(ended).toISOString();
      return [name, { generation: history.generation, since, oldest }];
    }),
  );
}
