import { describe, expect, test } from "vitest";
import { checkCommandRules } from "../../../components/config/checkCommandRules";
import { checkRedisConfig } from "../../../components/config/checkRedisConfig";
import { renderUsersAcl } from "../../../components/config/usersAcl";
import { errors as allErrors, validate } from "./support";

const facts = { checkCommandRules, checkRedisConfig };
const errors = (args: unknown, more: object = {}, name?: string) => allErrors(args, { ...facts, ...more }, name);
const APP = { keys: ["app:*"], commands: ["+@read"] };

/** Whatever would be something else to a file, a shell, a server or a reader. */
const HOSTILE: Readonly<Record<string, string>> = {
  "line break": 'a\nuser intruder on nopass ~* +@all\nrequirepass ""',
  "carriage return": "a\rb",
  null: "a\0b",
  blank: "a b",
  tab: "a\tb",
  "double quote": 'a"b',
  "single quote": "a'b",
  "hash sign": "a#b",
  backslash: "a\\b",
  shell: "$(id);`id`|id&",
  parent: "../../etc",
  absolute: "/etc/redis",
  unicode: "zone-é",
  "from right to left": "a\u202eb",
  "no width": "a\u200bb",
  "512 characters": "a".repeat(512),
  nothing: "",
  "a property of every object": "__proto__",
};
const each = Object.entries(HOSTILE);

/** One line without anything that a terminal would obey. */
function expectPrintable(lines: readonly string[]): void {
  for (const line of lines) {
    expect(line).not.toMatch(/\p{Cc}/u);
    expect(line.length).toBeLessThan(700);
  }
}

describe("names that would be something else", () => {
  test.each(each)(
    "%s: of a cluster, a zone, a user, a client, a domain, a directive, all reported at once",
    (_, text) => {
      const users = JSON.parse(`{${JSON.stringify(text)}:${JSON.stringify(APP)}}`);
      const redisConfig = JSON.parse(`{${JSON.stringify(text)}:"yes"}`);
      const found = errors(
        { users, redisConfig, domain: text, tls: { clients: [text] } },
        { zones: ["a", text, "c"] },
        text,
      );
      // How long a zone's name may be follows from those of its nodes, which the cluster's name is judged with.
      const own = text.length > 64 ? [] : ["zones"];
      for (const property of ["name", ...own, "users", "tls.clients", "domain", "redisConfig"])
        expect([property, found.some((line) => line.startsWith(property))]).toEqual([property, true]);
      expectPrintable(found);
    },
  );

  test("as they look to JavaScript, but as users and clients they are names like others", () => {
    for (const name of ["constructor", "toString", "hasOwnProperty", "valueOf"]) {
      expect(errors({ users: { [name]: APP }, tls: { clients: [name] } })).toEqual([]);
      expect(errors({ redisConfig: { [name.toLowerCase()]: "yes" } })).toEqual([
        expect.stringMatching(new RegExp(`^redisConfig.${name.toLowerCase()}: unknown to redis 7.0`)),
      ]);
    }
  });
});

describe("patterns of keys and channels", () => {
  test.each(each)("%s: stays one word of users.acl, or is refused", (_, text) => {
    const found = errors({ users: { app: { ...APP, keys: [text], channels: [text] } } });
    expectPrintable(found);
    if (found.length > 0) {
      expect(found.map((line) => line.split(":")[0])).toEqual(["users.app.keys", "users.app.channels"]);
      expect(() => renderUsersAcl([{ name: "app", passwordHashes: ["0".repeat(64)], keys: [text] }])).toThrow();
      return;
    }
    const acl = renderUsersAcl([{ name: "app", passwordHashes: ["0".repeat(64)], keys: [text], channels: [text] }]);
    expect(acl.split("\n")).toHaveLength(3);
    expect(acl.split("\n")[1]?.split(" ")).toEqual(expect.arrayContaining([`~${text}`, `&${text}`]));
  });

  test("rules cannot smuggle others in", () => {
    for (const rule of [
      "+get ~*",
      "+get\n+set",
      "allcommands",
      "~*",
      "nopass",
      ">password",
      "(+@all ~*)",
      "reset",
      "+@all%",
    ])
      expect(errors({ users: { app: { keys: ["a"], commands: [rule] } } })).toEqual([
        expect.stringMatching(/^users\.app\.commands: (.* is no rule|passwords do not belong among rules .*); use/),
      ]);
  });
});

describe("values of redisConfig", () => {
  test.each(["a\nrequirepass x", "a\rb", "a\0b"])("%j is no value of one line", (value) => {
    const found = errors({ redisConfig: { "syslog-ident": value } });
    expect(found[0]).toMatch(/^redisConfig.syslog-ident: .*has a line break/);
    expectPrintable(found);
  });
});

describe("a secret in the wrong place is refused without being shown", () => {
  const SECRET = "not-to-be-seen";
  const KEY = `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----\n`;
  test.each<[string, object, RegExp]>([
    ["a user that is a password", { users: { app: SECRET } }, /^users.app: got a string; must be a plain object/],
    ["users that are passwords", { users: [SECRET] }, /^users: got a list; must be a plain object/],
    ["a password that is a number", { users: { app: { ...APP, password: 20261127 } } }, /password: got a number/],
    ["tls that is a key", { tls: KEY }, /^tls: got a string; must be a plain object/],
    ["an authority that is a key", { tls: { authority: KEY } }, /^tls.authority: got a string; must be/],
    ["a node that is a key", { tls: { nodeCertificates: { a: KEY } } }, /^tls.nodeCertificates.a: got a string/],
    ["clients that are keys", { tls: { clientCertificates: [KEY] } }, /^tls.clientCertificates: got a list/],
    ["a key in a list", { tls: { authority: { certificatePem: "", keyPem: [KEY] } } }, /keyPem: got a list; must be/],
    ["requirepass of two lines", { redisConfig: { requirepass: `${SECRET}\n` } }, /requirepass: has a line break/],
    ["requirepass of another type", { redisConfig: { requirepass: [SECRET] } }, /requirepass: got a list; must be/],
    ["requirepass", { redisConfig: { requirepass: SECRET } }, /requirepass: does not belong here/],
    ["a user line", { redisConfig: { user: `app on >${SECRET}` } }, /user: does not belong here/],
  ])("%s", (_, args, reason) => {
    const { problems } = validate(args, facts);
    const text = JSON.stringify(problems);
    expect(problems.map(({ property, message }) => `${property}: ${message}`).join("\n")).toMatch(
      new RegExp(reason, "m"),
    );
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain("20261127");
  });

  test("what is missing or misspelt of a certificate is said, all of it", () => {
    const tls = {
      authority: { certificatePem: "x" },
      caCertificatePem: 7,
      nodeCertificates: { "dev-0-a": { certificate: "x", keyPem: "x" } },
      clientCertificates: { app: null },
    };
    expect(errors({ tls })).toEqual([
      "tls.authority.keyPem: missing; give PEM, better a secret Output",
      "tls.caCertificatePem: got a number; must be a string, PEM, better a secret Output",
      'tls.nodeCertificates.dev-0-a.certificate: is not an argument; did you mean "certificatePem"?',
      "tls.nodeCertificates.dev-0-a.certificatePem: missing; give PEM, better a secret Output",
      "tls.clientCertificates.app: got null; must be a plain object: { certificatePem, keyPem }",
    ]);
  });
});
