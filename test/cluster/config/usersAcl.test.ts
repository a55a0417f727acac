import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { AclUser } from "../../../components/config/types";
import { renderUsersAcl, replicationUser } from "../../../components/config/usersAcl";
import { startServer, TEST_SERVER_NAMES, testServers } from "../../support/servers";

const hash = (password: string) => createHash("sha256").update(password).digest("hex");

/** What each command takes at least, since DRYRUN counts arguments too. */
const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
  "+exec": [],
  "+multi": [],
  "+ping": [],
  "+psync": ["?", "-1"],
  "+replconf": ["ack", "1"],
  "+select": ["0"],
};

const USERS: readonly AclUser[] = [
  {
    name: "app",
    passwordHashes: [hash("one"), hash("two")],
    keys: ["session:*", "%R~shared:*", "a\"b'c\\d"],
    commands: ["+@read", "+@write", "-@dangerous"],
  },
  { name: "événements", passwordHashes: [hash("three")], channels: ["news:*", "é*"], commands: ["+@pubsub"] },
  { name: "gone", passwordHashes: [], enabled: false },
  { name: "operator", passwordHashes: [hash("all")], keys: ["*"], channels: ["*"], commands: ["+@all"] },
];

test.for(TEST_SERVER_NAMES)("%s reads users.acl and reports the same users", async (name, { skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const engine = { name: servers[name].engine, version: servers[name].version };
  const users = [...USERS, replicationUser(engine, "replication", [hash("four")])];
  const server = await startServer({
    server: servers[name],
    directives: [{ name: "aclfile", value: "users.acl" }],
    files: { "users.acl": renderUsersAcl(users) },
  });
  try {
    const client = server.connect({ username: "operator", password: "all" });
    const reported = ((await client.call("ACL", "LIST")) as string[]).map((line) => line.split(" "));
    expect(reported.map(([, user]) => user).sort()).toEqual(["default", ...users.map((user) => user.name)].sort());
    for (const user of users) {
      const words = reported.find((line) => line[1] === user.name) ?? [];
      expect(words[2]).toBe(user.enabled === false ? "off" : "on");
      expect(words.filter((word) => word.startsWith("#")).sort()).toEqual(
        user.passwordHashes.map((text) => `#${text}`).sort(),
      );
      expect(words.filter((word) => /^[~%]/.test(word)).sort()).toEqual(
        (user.keys ?? []).map((text) => (text.startsWith("%") ? text : `~${text}`)).sort(),
      );
      expect(words.filter((word) => word.startsWith("&"))).toEqual((user.channels ?? []).map((text) => `&${text}`));
      const listed = words.filter((word) => /^[+-]/.test(word));
      const commands = user.commands ?? [];
      if (commands.includes("+@all")) expect(listed).toEqual(["+@all"]);
      // 7.0 lists an equivalent set of rules of its own making, the others the rules as they were given.
      else if (name !== "redis-7.0") expect(listed).toEqual(["-@all", ...commands]);
      for (const rule of commands) {
        const tried = ARGUMENTS[rule];
        if (tried !== undefined) {
          expect(`${rule} ${await client.call("ACL", "DRYRUN", user.name, rule.slice(1), ...tried)}`).toBe(
            `${rule} OK`,
          );
        }
      }
    }
    const closed = reported.find((line) => line[1] === "default") ?? [];
    expect(closed).toEqual(expect.arrayContaining(["off", "~*", "&*", "+@all"]));
    expect(closed).not.toContain("nopass");

    const app = server.connect({ username: "app", password: "two" });
    expect(await app.set("session:1", "x")).toBe("OK");
    await expect(app.set("other", "x")).rejects.toThrow("NOPERM");
    await expect(app.flushall()).rejects.toThrow("NOPERM");
    await expect(server.connect().get("session:1")).rejects.toThrow("NOAUTH");
    await expect(server.connect({ username: "default", password: "any" }).get("session:1")).rejects.toThrow(
      /WRONGPASS|NOAUTH/,
    );
  } finally {
    await server.stop();
  }
});

// Tried once with the default user at -@all: the count stays at 0 after the restart.
test.for(TEST_SERVER_NAMES)(
  "%s replays transactions of its append-only file while the default user is closed",
  async (name, { skip }) => {
    const servers = (await testServers()) ?? skip("no test servers");
    const file = renderUsersAcl(USERS);
    const first = await startServer({
      server: servers[name],
      directives: [
        { name: "aclfile", value: "users.acl" },
        { name: "appendonly", value: "yes" },
        { name: "appendfsync", value: "always" },
      ],
      files: { "users.acl": file },
    });
    try {
      const client = first.connect({ username: "operator", password: "all" });
      await client.multi().incr("count").incr("count").exec();
      expect(await client.get("count")).toBe("2");
      first.process.kill("SIGKILL");
      await new Promise((resolve) => first.process.once("close", resolve));
      const again = await startServer({
        server: servers[name],
        dir: first.dir,
        directives: [
          { name: "aclfile", value: "users.acl" },
          { name: "appendonly", value: "yes" },
        ],
      });
      expect(await again.connect({ username: "operator", password: "all" }).get("count")).toBe("2");
      await again.stop();
    } finally {
      await first.stop();
    }
  },
);
