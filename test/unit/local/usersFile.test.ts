import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { NodeLogin } from "../../../components/cluster/platform";
import { renderUsersAcl } from "../../../components/config/usersAcl";
import { sha256 } from "../../../components/formation/observe";
import { writeUsers } from "../../../infra/platforms/local/runner/usersFile";

const aclOf = (password: string) =>
  renderUsersAcl([{ name: "admin", passwordHashes: [sha256(password)], keys: ["*"], commands: ["+@all"] }]);
const login: NodeLogin = {
  usersAcl: aclOf("new"),
  replication: { username: "replication", password: 'of replicas "' },
  access: { username: "admin", password: "new", otherwise: [{ username: "admin", password: "former" }, {}] },
};
const DECLARED = 'aclfile users.acl\nmasteruser replication\nmasterauth "of replicas \\""\n';

describe("users of a server that is about to start", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "prc-users-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const left = (config: string, users?: string) => {
    writeFileSync(join(folder, "redis.conf"), config);
    if (users !== undefined) writeFileSync(join(folder, "users.acl"), users);
  };
  const users = () => readFileSync(join(folder, "users.acl"), "utf8");

  test("at the first start they are as declared, for the owner's eyes alone", () => {
    expect(writeUsers(folder, login)).toBe(DECLARED);
    expect(users()).toBe(login.usersAcl);
    expect(statSync(join(folder, "users.acl")).mode & 0o777).toBe(0o600);
  });

  test("from then on they stay as the server saved them, with what its replicas log in with", () => {
    const saved = `${aclOf("former")}user app on #${sha256("x")} ~* -@all +get\n`;
    left("port 1\naclfile users.acl\nprimaryuser replication\nprimaryauth former\n", saved);
    expect(writeUsers(folder, login)).toBe("aclfile users.acl\nprimaryuser replication\nprimaryauth former\n");
    expect(users()).toBe(saved);
  });

  test("a node that kept them in redis.conf gets a file of them", () => {
    const lines = ["user default off ~* &* +@all", `user admin on #${sha256("new")} ~* &* +@all`];
    left(["port 1", ...lines, "masterauth a", "masteruser replication"].join("\n"));
    expect(writeUsers(folder, login)).toBe("aclfile users.acl\nmasterauth a\nmasteruser replication\n");
    expect(users()).toBe(`${lines.join("\n")}\n`);
  });

  test("a node that is open stays so: formation closes it, when all have users", () => {
    left("port 1\n");
    expect(writeUsers(folder, login)).toBe("aclfile users.acl\n");
    expect(users()).toBe("user default on nopass ~* &* +@all\n");
  });

  test("users that nobody here can be, as of a former life of the folder, give way to those declared", () => {
    left("aclfile users.acl\nmasteruser replication\nmasterauth theirs\n", aclOf("unknown"));
    expect(writeUsers(folder, login)).toBe(DECLARED);
    expect(users()).toBe(login.usersAcl);
  });
});
