import { expect, test } from "vitest";
import { checkAclUsers, renderUsersAcl } from "../../../components/config/usersAcl";

const HASH = "a".repeat(64);
const OTHER = "b".repeat(64);

test("the default user is closed and keeps its rights, the others are sorted and start from nothing", () => {
  expect(
    renderUsersAcl([
      {
        name: "worker",
        passwordHashes: [OTHER, HASH],
        keys: ["b:*", "a:*", "%R~c:*"],
        channels: ["news"],
        commands: ["+@read", "-keys"],
      },
      { name: "admin", passwordHashes: [HASH], keys: ["x", "*"], channels: ["*", "y"], commands: ["+@all"] },
      { name: "off", passwordHashes: [], enabled: false },
    ]),
  ).toBe(
    `user default off resetpass ~* &* +@all
user admin on resetpass #${HASH} resetkeys ~* resetchannels &* -@all +@all
user off off resetpass resetkeys resetchannels -@all
user worker on resetpass #${HASH} #${OTHER} resetkeys %R~c:* ~a:* ~b:* resetchannels &news -@all +@read -keys
`,
  );
});

test.for(["a b", "a\nuser x", "a\tb", "a\u0000", "", "a\u00a0b", "a\u2028b", "a\u001bb"])(
  "no rule of its own through %j",
  (text) => {
    const wrong = [
      { name: text, passwordHashes: [HASH] },
      { name: "a", passwordHashes: [HASH], keys: [text] },
      { name: "b", passwordHashes: [HASH], channels: [text] },
      { name: "c", passwordHashes: [HASH], commands: [text] },
      { name: "d", passwordHashes: [text] },
    ];
    for (const user of wrong) expect(() => renderUsersAcl([user])).toThrow("user ");
    expect(checkAclUsers(wrong)).toHaveLength(wrong.length);
  },
);

test("rules are commands only: no password, no reset, no selector", () => {
  for (const rule of ["nopass", ">secret", "allkeys", "(+get ~x)", "+@", "+a|b|c", "~*", "+get|", "+@read|x"]) {
    expect(checkAclUsers([{ name: "a", passwordHashes: [HASH], commands: [rule] }])).toHaveLength(1);
  }
});

test("a password in place of its hash is not repeated in the error", () => {
  const [problem] = checkAclUsers([{ name: "a", passwordHashes: ["hunter2"] }]);
  expect(problem).toBe(
    'user "a": a password hash is not 64 hex digits in lower case; give the SHA-256 of the password',
  );
});

test("names every problem at once", () => {
  expect(
    checkAclUsers([
      { name: "default", passwordHashes: [] },
      { name: "a", passwordHashes: [HASH] },
      { name: "a", passwordHashes: [HASH] },
    ]),
  ).toEqual([
    'user "default": the default user is kept closed; use another name',
    'user "default": has no password and could not log in; give a password or disable it',
    'user "a": is there twice; keep one',
  ]);
});
