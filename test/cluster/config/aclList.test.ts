import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { differences, parseAclLine } from "../../../components/config/aclList";
import { withoutDangerous } from "../../../components/config/commandRules";
import { commandTable } from "../../../components/config/commands";
import type { AclUser } from "../../../components/config/types";
import { usersOf } from "../../../components/config/users";
import { aclWords, defaultUser, renderUsersAcl } from "../../../components/config/usersAcl";
import type { Engine } from "../../../components/spec/spec";
import { startServer, TEST_SERVER_NAMES, testServers } from "../../support/servers";

const hash = (text: string) => createHash("sha256").update(text).digest("hex");

/** Rules that 7.0 composes anew, each in a way of its own. */
const RULES: readonly (readonly string[])[] = [
  ["+@read", "+@write"],
  ["+@all"],
  ["+@all", "-@admin", "+config|get"],
  ["+@slow", "-@dangerous"],
  ["+get", "+config|get", "-cluster|nodes", "+object"],
  ["+@stream", "-xinfo|help", "-@blocking"],
  ["+@pubsub", "+@transaction", "+@connection"],
  ["+@read", "+@dangerous", "-keys"],
  ["+keys", "+@read"],
];

function declaredUsers(engine: Engine): AclUser[] {
  const declared = RULES.map((commands, i) => ({
    name: `app${i}`,
    keys: ["session:*", "%R~shared:*", "%RW~both:*"],
    channels: i % 2 ? ["*"] : ["b*", "a*"],
    commands,
  }));
  const users = usersOf({ declared, rotation: "", overlapSeconds: 0, openDefaultUser: false }, engine);
  return users.map((user) => ({ ...user, passwordHashes: [hash(user.name), hash("other")] }));
}

test.for(TEST_SERVER_NAMES)(
  "%s reports what it was told, by file and by command, as no difference",
  async (name, { skip }) => {
    const servers = (await testServers()) ?? skip("no test servers");
    const engine = { name: servers[name].engine, version: servers[name].version };
    const table = commandTable(engine);
    const users = declaredUsers(engine);
    const server = await startServer({
      server: servers[name],
      directives: [{ name: "aclfile", value: "users.acl" }],
      files: { "users.acl": renderUsersAcl(users) },
    });
    try {
      const client = server.connect({ username: "admin", password: "admin" });
      const compare = async (): Promise<string[]> => {
        const reported = ((await client.call("ACL", "LIST")) as string[]).flatMap((line) => parseAclLine(line) ?? []);
        expect(reported).toHaveLength(users.length + 1);
        return [...users, defaultUser(false)].flatMap((user) => {
          const found = reported.find((each) => each.name === user.name);
          return found
            ? differences(user, found, table).map((what) => `${user.name}: ${what}`)
            : [`${user.name}: missing`];
        });
      };
      expect(await compare()).toEqual([]);
      for (const user of users) await client.call("ACL", "SETUSER", user.name, "reset", ...aclWords(user));
      expect(await compare()).toEqual([]);
      // One command more or less is one.
      await client.call("ACL", "SETUSER", "app0", "+flushall");
      await client.call("ACL", "SETUSER", "app1", "-object|freq");
      expect(await compare()).toEqual(["app0: other commands", "app1: other commands"]);
      expect(withoutDangerous(RULES[0] ?? [])).toContain("-@dangerous");
    } finally {
      await server.stop();
    }
  },
);
