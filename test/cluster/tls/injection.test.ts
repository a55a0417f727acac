import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask, clientTls } from "../../support/clients";
import { Project, processes } from "../../support/project";
import { testServers } from "../../support/servers";
import { credentialsOf } from "../users/support";
import { clientOf, tlsOf } from "./support";

const servers = await testServers();

/** What a file, a shell, a server or a parser would take for something else. */
const PASSWORDS: Readonly<Record<string, string>> = {
  blanks: "  at the begin, within, at the end  ",
  quotes: `"double" 'single' \`back\``,
  backslash: "\\x41\\n\\",
  signs: "#hash >plain <minus ~* &* +@all -@all ! nopass resetpass",
  unicode: "Zürich 東京 🔑 e\u0301",
  "line.breaks": "first\nuser intruder on nopass ~* +@all\r\nlast",
  null: "before\0after",
  long: "x".repeat(512),
  shell: "$(touch injected);`touch injected`|touch injected&",
  constructor: "of a user whose name every object has",
};
const USERS = Object.fromEntries(
  Object.entries(PASSWORDS).map(([name, password]) => [
    name,
    { keys: [`${name}:*`, `#>"'\\$(touch):*`], channels: ["é:*"], commands: ["+@read", "+@write"], password },
  ]),
);
const IDENT = `a "quoted" 'name' #with \\x41 $(touch injected) é`;

describe.skipIf(!servers)("names, passwords and settings that would be something else", () => {
  const directory = `da ta/it's "quoted" #1 $(touch injected) é\\x41`;
  let project: Project;

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    const args = {
      directory,
      tls: { clients: ["constructor", "a.b@c_d-e"] },
      users: USERS,
      redisConfig: { "syslog-ident": IDENT },
      replicasPerMaster: 1,
    };
    project = await Project.create(args, servers["redis-7.0"]);
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  test("hold literally: everybody comes in with the very password that was given", async () => {
    const { users } = await credentialsOf(project);
    const tls = clientTls(await tlsOf(project));
    const nodes = await project.nodes();
    for (const [username, password] of Object.entries(PASSWORDS)) {
      expect([username, users[username]]).toEqual([username, { password }]);
      for (const node of nodes) expect(await ask(node, { username, password, tls }, "PING")).toBe("PONG");
      for (const other of [
        password.trim(),
        password.replace(/["'\\\r\n\0#]/g, ""),
        `${password} `,
        password.split("\n")[0],
      ])
        if (other !== undefined && other !== password)
          await expect(ask(nodes[0] ?? expect.fail(), { username, password: other, tls }, "PING")).rejects.toThrow(
            /WRONGPASS|NOAUTH/,
          );
    }
  });

  test("nothing was interpreted: no user, no setting, no file that was not declared", async () => {
    const { admin } = await credentialsOf(project);
    const login = { ...admin, tls: clientTls(await tlsOf(project)) };
    for (const node of await project.nodes()) {
      const list = (await ask(node, login, "ACL", "USERS")) as string[];
      expect(list.sort()).toEqual(["admin", "default", "monitor", "replication", ...Object.keys(USERS)].sort());
      const [, ident] = (await ask(node, login, "CONFIG", "GET", "syslog-ident")) as string[];
      expect(ident).toBe(IDENT);
      const user = (await ask(node, login, "ACL", "GETUSER", "quotes")) as unknown[];
      expect(user[user.indexOf("keys") + 1]).toBe(`~#>"'\\$(touch):* ~quotes:*`);
    }
    expect(readdirSync(join(project.directory, directory, "test", "sessions"))).toHaveLength(6);
    expect(findInjected(project.directory)).toEqual([]);
  });

  test("clients get certificates under the names that they were declared with", async () => {
    const own = await tlsOf(project);
    expect(Object.keys(own.clients ?? {}).sort()).toEqual(["a.b@c_d-e", "constructor"]);
  });

  test("a second up changes nothing, and a server that was killed comes back with its own certificate", async () => {
    expect((await project.mustUp()).stdout).not.toMatch(/(updated|created|replaced|deleted)/);
    const before = readdirSync(join(project.directory, directory, "test/sessions/sessions-0-zone-a/tls")).sort();
    const folder = join(project.directory, directory, "test/sessions/sessions-0-zone-a");
    const pid = processes().find(({ cwd }) => cwd === folder)?.pid ?? expect.fail("no server");
    process.kill(pid, "SIGKILL");
    await project.mustUp();
    expect(readdirSync(join(project.directory, directory, "test/sessions/sessions-0-zone-a/tls")).sort()).toEqual(
      before,
    );
    const client = await clientOf(project);
    expect(await client.ping()).toBe("PONG");
    client.disconnect();
    expect(existsSync(join(project.directory, "injected"))).toBe(false);
  });
});

function findInjected(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => /(^|\/)injected$/.test(file));
}
