import { describe, expect, test } from "vitest";
import { checkCommandRules } from "../../../components/config/checkCommandRules";
import { errors as allErrors, warnings as allWarnings, validate } from "./support";

const facts = { checkCommandRules };
const errors = (users: unknown, more: object = {}) => allErrors({ users, ...more }, facts);
const warnings = (users: unknown, more: object = {}) => allWarnings({ users, ...more }, facts);
const APP = { keys: ["session:*"], channels: ["events:*"], commands: ["+@read", "+@write", "-@dangerous"] };

describe("users", () => {
  test("undeclared is open, declared is as given, in the order given", () => {
    expect(validate({}, facts).spec?.users).toBeUndefined();
    expect(validate({ users: {} }, facts).spec?.users).toEqual({
      declared: [],
      rotation: "",
      overlapSeconds: 3600,
      openDefaultUser: false,
    });
    const { spec, problems } = validate(
      { users: { b: APP, a: { commands: ["+ping"] } }, passwordRotation: "2" },
      facts,
    );
    expect(problems).toEqual([]);
    expect(spec?.users).toMatchObject({
      declared: [
        { name: "b", ...APP },
        { name: "a", keys: [], channels: [], commands: ["+ping"] },
      ],
      rotation: "2",
    });
  });

  test("all problems at once, each with what to do", () => {
    expect(
      errors(
        {
          admin: APP,
          Default: APP,
          "a b": APP,
          constructor: APP,
          one: { keys: "session:*", commands: ["+@raed", 7] },
          two: { keys: ["~a", "%X~b", "a b", "", "c", "c"], channels: ["&news", "*", "d"], commands: ["+get"] },
          three: {},
          four: { ...APP, password: "" },
          five: { ...APP, password: 12345 },
          six: { ...APP, comands: [] },
        },
        { passwordRotation: 2, passwordOverlapSeconds: -1 },
      ),
    ).toEqual([
      'passwordRotation: got 2 (number); must be a string: write "2"',
      "passwordOverlapSeconds: -1 is too low; use 0 (the next `up` ends former passwords) or more",
      "users.admin: is reserved: the user that the component itself logs in as; use another name",
      "users.Default: is reserved: the server's own first user, which is kept closed; use another name",
      expect.stringMatching(/^users\."a b": is no name of a user; use up to 63 letters/),
      'users.one.keys: got "session:*"; must be a list of strings: write ["session:*"]',
      "users.one.commands[1]: got 7; must be a string",
      expect.stringMatching(/^users\.one\.commands: "\+@raed": redis 7\.0 has no category @raed; use one of @admin/),
      'users.two.keys: "~a": leave out the `~`, as in "a"',
      expect.stringMatching(/^users\.two\.keys: "%X~b": use %R~ \(read\), %W~ \(write\)/),
      'users.two.keys: "a b" is empty or has blanks or control characters; use `?` for a blank',
      'users.two.keys: "" is empty or has blanks or control characters; use `?` for a blank',
      'users.two.keys: "c" is there twice; keep one',
      'users.two.channels: "&news": leave out the `&`, as in "news"',
      'users.two.channels: "*" allows everything, so the others have no effect; leave them out, or "*"',
      'users.three.commands: none, so the user may do nothing; give some, such as ["+@read", "+@write"]',
      "users.four.password: is empty; give one, or leave it out to have one generated",
      "users.five.password: got a number; must be a string, better a secret Output",
      'users.six.comands: is not an argument; did you mean "commands"?',
    ]);
  });

  test("what most people do not mean is a warning", () => {
    expect(
      warnings(
        { all: { keys: ["*"], commands: ["+@all"] }, weak: { ...APP, password: "hunter2" } },
        { openDefaultUser: true },
      ),
    ).toEqual([
      expect.stringMatching(/^openDefaultUser: anybody who reaches a node may do anything without a password/),
      expect.stringMatching(/^users\.all\.commands: "\+@all" is every command but the dangerous ones/),
      expect.stringMatching(/^users\.all\.keys: "\*" is every key; a prefix such as "session:\*"/),
      expect.stringMatching(/^users\.weak\.password: has 7 characters; use 16 or more/),
    ]);
    expect(warnings({ app: { ...APP, password: { apply: () => {} } } })).toEqual([]);
  });

  test("arguments that have no effect without users", () => {
    expect(errors(undefined, { passwordRotation: "1", openDefaultUser: true })).toEqual([
      expect.stringMatching(/^passwordRotation: has no effect without users; declare `users`/),
      expect.stringMatching(/^openDefaultUser: has no effect without users/),
    ]);
  });

  test("no problem shows a password", () => {
    for (const password of ["hunter2-is-no-good", 12345, ["hunter2"], { a: "hunter2" }, true])
      expect([...errors({ app: { ...APP, password } }), ...warnings({ app: { ...APP, password } })].join()).not.toMatch(
        /hunter2|12345/,
      );
  });
});
