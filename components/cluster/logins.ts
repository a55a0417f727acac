import * as pulumi from "@pulumi/pulumi";
import { ADMIN, MONITOR, REPLICATION, usersOf } from "../config/users";
import { renderUsersAcl } from "../config/usersAcl";
import { sha256 } from "../formation/observe";
import type { PasswordsInput, UsersInput } from "../formation/rotation";
import type { PasswordTable } from "../formation/runner/passwords";
import type { Access } from "../formation/wire";
import { ownEntry } from "../security/ownEntry";
import type { ClusterSpec } from "../spec/spec";
import type { ClusterCredentials } from "./inventory";
import type { NodeLogin } from "./platform";
import { ClusterPasswords } from "./resources";

/** What follows from users and passwords, for each who needs to know; all but `users` is secret. */
export interface Logins {
  readonly users: UsersInput;
  readonly passwords: pulumi.Output<PasswordsInput>;
  /** How the component itself logs in. */
  readonly access: pulumi.Output<Access>;
  /** What a node starts with. */
  readonly node: pulumi.Output<NodeLogin>;
  readonly credentials: pulumi.Output<ClusterCredentials>;
}

/** The users of a cluster with their passwords; undefined where none are declared, and the cluster is open. */
export function declareLogins(
  spec: ClusterSpec,
  given: Readonly<Record<string, pulumi.Input<string>>>,
  parent: pulumi.Resource,
): Logins | undefined {
  if (!spec.users) return undefined;
  const { declared, rotation, overlapSeconds, openDefaultUser } = spec.users;
  const rules = usersOf(spec.users, spec.engine);
  const { table } = new ClusterPasswords(
    spec.name,
    {
      cluster: spec.name,
      users: rules.map(({ name }) => name),
      rotation,
      // Secret as a whole, so that what the provider answers under these names is too.
      given: pulumi.secret(pulumi.output({ ...given })),
      table: pulumi.secret({}),
    },
    { parent, additionalSecretOutputs: ["given", "table"] },
  );
  const access = table.apply(accessOf);
  const hashesOf = (all: PasswordTable) => (name: string) => [sha256(passwordOf(all, name))];
  return {
    users: { rules, openDefaultUser, overlapSeconds },
    passwords: table.apply(hashed),
    access,
    node: pulumi.all([table, access]).apply(([all, login]) => ({
      // Closed from the first moment: a node without keys has no clients to move.
      usersAcl: renderUsersAcl(
        rules.map((user) => ({ ...user, passwordHashes: hashesOf(all)(user.name) })),
        openDefaultUser,
      ),
      replication: { username: REPLICATION, password: passwordOf(all, REPLICATION) },
      monitor: { username: MONITOR, passwords: passwordsOf(all, MONITOR) },
      access: login,
    })),
    credentials: table.apply((all) => credentialsOf(all, declared[0]?.name ?? ADMIN)),
  };
}

function passwordOf(table: PasswordTable, user: string): string {
  const password = ownEntry(table, user)?.current;
  if (password === undefined) throw new Error(`there is no password for user ${user}`);
  return password;
}

/** The latest first. */
function passwordsOf(table: PasswordTable, user: string): string[] {
  return [passwordOf(table, user), ...(ownEntry(table, user)?.former ?? []).map(({ password }) => password)];
}

/** Until formation has been everywhere, a node may have any password of before, or, in a cluster that was open, none. */
function accessOf(table: PasswordTable): Access {
  const former = (table[ADMIN]?.former ?? []).map(({ password }) => ({ username: ADMIN, password }));
  return { username: ADMIN, password: passwordOf(table, ADMIN), otherwise: [...former, {}] };
}

function hashed(table: PasswordTable): PasswordsInput {
  const users = Object.entries(table).map(([name, { generation, current, former }]) => [
    name,
    {
      generation,
      hash: sha256(current),
      former: former.map((each) => ({ generation: each.generation, hash: sha256(each.password) })),
    },
  ]);
  return { users: Object.fromEntries(users), replication: passwordOf(table, REPLICATION) };
}

/** @param username whom applications log in as where they do not choose */
function credentialsOf(table: PasswordTable, username: string): ClusterCredentials {
  const users = Object.keys(table)
    .filter((name) => name !== REPLICATION)
    .sort()
    .map((name) => [name, { password: passwordOf(table, name) }]);
  return {
    username,
    password: passwordOf(table, username),
    admin: { username: ADMIN, password: passwordOf(table, ADMIN) },
    users: Object.fromEntries(users),
  };
}
