import { differences, type ReportedUser, reportedAs } from "../config/aclList";
import { commandTable } from "../config/commands";
import type { AclUser } from "../config/types";
import { REPLICATION } from "../config/users";
import { defaultUser } from "../config/usersAcl";
import { ownEntry } from "../security/ownEntry";
import type { AnsweringNode } from "./observation";
import type { Step } from "./steps";

/** Who may log in, on every node alike. */
export interface UsersGoal {
  /** All users but the server's own first one, each with the passwords that are valid now; sorted by name. */
  readonly users: readonly AclUser[];
  /** The server's own first user stays open. */
  readonly openDefaultUser: boolean;
  /** Passwords of before that are not valid any more, by user, and since when the present one was, on every node. */
  readonly ended: Readonly<Record<string, EndedPasswords>>;
  /** What replicas log in with at their master. */
  readonly replication: ReplicationLogin & { readonly password: string };
}

export interface EndedPasswords {
  readonly hashes: readonly string[];
  /** In milliseconds of the epoch. */
  readonly since: number;
}

/** `masteruser` and the SHA-256 of `masterauth`; empty where there is none. */
export interface ReplicationLogin {
  readonly username: string;
  readonly passwordHash: string;
}

/** What a node says of its users. */
export interface ObservedUsers {
  readonly reported: readonly ReportedUser[];
  readonly replication: ReplicationLogin;
  /** Users are kept in a file of their own; else in redis.conf. */
  readonly aclFile: boolean;
}

/** A node without any declared user, as servers are without a file of users. */
export const OPEN_NODE: ObservedUsers = {
  reported: [reportedAs(defaultUser(true))],
  replication: { username: "", passwordHash: "" },
  aclFile: false,
};

/** As a node is that was started with the declared users. */
export function usersAsDeclared(goal: UsersGoal): ObservedUsers {
  const { username, passwordHash } = goal.replication;
  return {
    reported: [...goal.users, defaultUser(goal.openDefaultUser)].map(reportedAs),
    replication: { username, passwordHash },
    aclFile: true,
  };
}

/** What a node has otherwise than declared; empty where its users are as they should be. */
export function userDifferences(
  goal: UsersGoal,
  node: AnsweringNode,
): { readonly user: string; readonly what: string }[] {
  const { reported, replication } = node.users ?? OPEN_NODE;
  const wanted = [...goal.users, defaultUser(goal.openDefaultUser)];
  const names = new Set(wanted.map((user) => user.name));
  return [
    ...wanted.flatMap((user) => {
      const words = wordsFor(user, node);
      return words.length > 0 ? [{ user: user.name, what: words.join(", ") }] : [];
    }),
    ...reported.filter(({ name }) => !names.has(name)).map(({ name }) => ({ user: name, what: "not declared" })),
    ...(isLogin(replication, goal.replication)
      ? []
      : [{ user: REPLICATION, what: "not what replicas log in with (masteruser, masterauth)" }]),
  ];
}

/**
 * The next steps towards the declared users, in the order in which nobody is shut out who should not be: users and passwords that are
 * to hold, on every node; then what replicas log in with; only then what is to hold no longer: passwords that replicas used until
 * then, users that are not declared, the server's own open one.
 */
export function planUsers(goal: UsersGoal, nodes: readonly AnsweringNode[]): Step[] {
  const used = new Set(
    nodes.flatMap(({ users }) => (users?.replication.username === REPLICATION ? [users.replication.passwordHash] : [])),
  );
  const known = new Set(goal.users.map((user) => user.name));
  const stages: ((node: AnsweringNode) => Step[])[] = [
    (node) =>
      goal.users.flatMap((user) =>
        setUser(
          user.name === REPLICATION ? keeping(user, used, node) : user,
          node,
          ownEntry(goal.ended, user.name)?.hashes,
        ),
      ),
    (node) => {
      if (isLogin((node.users ?? OPEN_NODE).replication, goal.replication)) return [];
      const { username, password, passwordHash } = goal.replication;
      return [{ do: "setReplicationLogin", node: node.name, username, password, passwordHash }];
    },
    (node) => [
      ...setUser(defaultUser(goal.openDefaultUser), node),
      ...(node.users ?? OPEN_NODE).reported
        .filter(({ name }) => name !== "default" && !known.has(name))
        .map(({ name }): Step => ({ do: "deleteUser", node: node.name, user: name })),
    ],
  ];
  for (const stage of stages) {
    const steps = nodes.flatMap((node) => {
      const own = stage(node);
      return own.length > 0 ? [...own, saveUsers(node)] : [];
    });
    if (steps.length > 0) return steps;
  }
  return [];
}

/** Whatever the last run had come to: a server that was not told to save comes back with users of before. */
export function saveUsers(node: AnsweringNode): Step {
  return { do: "saveUsers", node: node.name, aclFile: (node.users ?? OPEN_NODE).aclFile };
}

/** Does a step shut out whoever comes without a password? */
export function closesDefault(step: Step): boolean {
  return step.do === "setUser" && step.user.name === "default" && step.user.enabled === false;
}

function setUser(user: AclUser, node: AnsweringNode, ended: readonly string[] = []): Step[] {
  const what = wordsFor(user, node);
  if (what.length === 0) return [];
  const reported = (node.users ?? OPEN_NODE).reported.find(({ name }) => name === user.name);
  // Sessions stay logged in, whatever becomes of the password that they came with.
  const gone = (reported?.passwordHashes ?? []).filter((hash) => !user.passwordHashes.includes(hash));
  const unknown = gone.some((hash) => !ended.includes(hash)) || (reported?.nopass === true && !user.nopass);
  const endSessions = unknown ? "all" : gone.length > 0 ? "former" : "none";
  return [{ do: "setUser", node: node.name, user, what, endSessions }];
}

/** With those of its passwords that a replica still logs in with, as far as this node has them. */
function keeping(user: AclUser, used: ReadonlySet<string>, node: AnsweringNode): AclUser {
  const reported = (node.users ?? OPEN_NODE).reported.find(({ name }) => name === user.name);
  const kept = (reported?.passwordHashes ?? []).filter((hash) => used.has(hash));
  return { ...user, passwordHashes: [...new Set([...user.passwordHashes, ...kept])].sort() };
}

function wordsFor(user: AclUser, node: AnsweringNode): string[] {
  const reported = (node.users ?? OPEN_NODE).reported.find(({ name }) => name === user.name);
  return reported ? differences(user, reported, commandTable(node.server)) : ["missing"];
}

function isLogin(a: ReplicationLogin, b: ReplicationLogin): boolean {
  return a.username === b.username && a.passwordHash === b.passwordHash;
}
