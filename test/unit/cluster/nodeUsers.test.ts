import { beforeEach, describe, expect, test } from "vitest";
import { usersToStartWith } from "../../../components/cluster/nodeFiles/users";
import type { NodeLogin } from "../../../components/cluster/platform";
import { renderUsersAcl } from "../../../components/config/usersAcl";
import { sha256 } from "../../../components/formation/observe";

const aclOf = (password: string) =>
  renderUsersAcl([{ name: "admin", passwordHashes: [sha256(password)], keys: ["*"], commands: ["+@all"] }]);
const login: NodeLogin = {
  usersAcl: aclOf("new"),
  replication: { username: "replication", password: 'of replicas "' },
  monitor: { username: "monitor", passwords: ["watch"] },
  access: { username: "admin", password: "new", otherwise: [{ username: "admin", password: "former" }, {}] },
};
const DECLARED = 'aclfile users.acl\nmasteruser replication\nmasterauth "of replicas \\""\n';

describe("users of a server that is about to start", () => {
  let files: Map<string, string>;
  beforeEach(() => {
    files = new Map();
  });
  const left = (config: string, users?: string) => {
    files.set("redis.conf", config);
    if (users !== undefined) files.set("users.acl", users);
  };
  const start = (as = login) => usersToStartWith({ read: (name) => files.get(name) ?? "", list: () => [] }, as);
  const lines = (as = login) => start(as).lines;
  const users = () => start().users;

  test("at the first start they are as declared", () => {
    expect(lines()).toBe(DECLARED);
    expect(users()).toBe(login.usersAcl);
  });

  test("from then on they stay as the server saved them, with what its replicas log in with", () => {
    const saved = `${aclOf("former")}user app on #${sha256("x")} ~* -@all +get\n`;
    left("port 1\naclfile users.acl\nprimaryuser replication\nprimaryauth former\n", saved);
    expect(lines()).toBe("aclfile users.acl\nprimaryuser replication\nprimaryauth former\n");
    expect(users()).toBe(saved);
  });

  test("a node that kept them in redis.conf gets a file of them", () => {
    const kept = ["user default off ~* &* +@all", `user admin on #${sha256("new")} ~* &* +@all`];
    left(["port 1", ...kept, "masterauth a", "masteruser replication"].join("\n"));
    expect(lines()).toBe("aclfile users.acl\nmasterauth a\nmasteruser replication\n");
    expect(users()).toBe(`${kept.join("\n")}\n`);
  });

  test("a node that is open stays so: formation closes it, when all have users", () => {
    left("port 1\n");
    expect(lines()).toBe("aclfile users.acl\n");
    expect(users()).toBe("user default on nopass ~* &* +@all\n");
  });

  test("users that nobody here can be, as of a former life of the folder, give way to those declared", () => {
    left("aclfile users.acl\nmasteruser replication\nmasterauth theirs\n", aclOf("unknown"));
    expect(lines()).toBe(DECLARED);
    expect(users()).toBe(login.usersAcl);
  });
});
