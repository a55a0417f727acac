import { describe, expect, test } from "vitest";
import {
  type PasswordsInForce,
  type PasswordsInput,
  provedInForce,
  type UsersInput,
  usersGoal,
} from "../../../components/formation/rotation";
import { nextRecord, type PasswordTable, passwordsRunner } from "../../../components/formation/runner/passwords";

const OVERLAP = 100;
const users: UsersInput = {
  rules: [{ name: "app" }, { name: "replication" }],
  openDefaultUser: false,
  overlapSeconds: OVERLAP,
};
const passwordsOf = (generation: number): PasswordsInput => {
  const history = {
    generation,
    hash: `h${generation}`,
    former: Array.from({ length: generation - 1 }, (_, i) => ({
      generation: generation - 1 - i,
      hash: `h${generation - 1 - i}`,
    })),
  };
  return { users: { app: history, replication: history }, replication: `p${generation}` };
};
const START = Date.parse("2026-01-01T00:00:00Z");
const at = (seconds: number) => START + seconds * 1000;

/** A stack over time: each run tells which passwords of `app` it makes valid, and proves it unless it was killed. */
class Story {
  inForce: PasswordsInForce = {};

  run(generation: number, seconds: number, killed = false): readonly string[] {
    const passwords = passwordsOf(generation);
    const goal = usersGoal(users, passwords, this.inForce, at(seconds));
    if (!killed)
      this.inForce = provedInForce(passwords, this.inForce, OVERLAP, { began: at(seconds), ended: at(seconds + 1) });
    return goal.users[0]?.passwordHashes ?? [];
  }

  /** Does an `up` at that time change anything? */
  isDue(generation: number, seconds: number): boolean {
    const passwords = passwordsOf(generation);
    const goals = [usersGoal(users, passwords, this.inForce), usersGoal(users, passwords, this.inForce, at(seconds))];
    return JSON.stringify(goals[0]) !== JSON.stringify(goals[1]);
  }
}

describe("how long a former password is valid", () => {
  test("until the first run after its time, counted from when the new one was proved", () => {
    const story = new Story();
    expect(story.run(1, 0)).toEqual(["h1"]);
    expect(story.run(2, 1000)).toEqual(["h1", "h2"]);
    expect([story.isDue(2, 1050), story.isDue(2, 1102)]).toEqual([false, true]);
    expect(story.run(2, 1050)).toEqual(["h1", "h2"]);
    expect(story.run(2, 1102)).toEqual(["h2"]);
    expect([story.isDue(2, 1200), story.isDue(2, 99999)]).toEqual([false, false]);
    expect(story.run(2, 9999)).toEqual(["h2"]);
  });

  test("a run that was killed takes nothing of that time", () => {
    const story = new Story();
    story.run(1, 0);
    expect(story.run(2, 1000, true)).toEqual(["h1", "h2"]);
    expect(story.run(2, 5000)).toEqual(["h1", "h2"]);
    expect(story.isDue(2, 5050)).toBe(false);
    expect(story.run(2, 5102)).toEqual(["h2"]);
  });

  test("rotated again meanwhile, all of them stay; one that has ended never comes back", () => {
    const story = new Story();
    story.run(1, 0);
    story.run(2, 1000);
    expect(story.run(3, 1050)).toEqual(["h1", "h2", "h3"]);
    expect(story.run(3, 1152)).toEqual(["h3"]);
    expect(story.run(4, 2000)).toEqual(["h3", "h4"]);
  });

  test("the first formation that was killed, and a rotation before the second: nodes may have either", () => {
    const story = new Story();
    expect(story.run(1, 0, true)).toEqual(["h1"]);
    expect(story.run(2, 10)).toEqual(["h1", "h2"]);
  });
});

describe("the passwords that a stack keeps", () => {
  const declared = { cluster: "dev", users: ["admin", "app"], rotation: "", given: {}, table: {} };
  const check = async (olds: object, news: object) =>
    (await passwordsRunner.check(olds, { ...declared, ...news })).inputs as typeof declared & { table: PasswordTable };

  test("are made once, each another one, and stay", async () => {
    const first = await check({}, {});
    const made = Object.values(first.table).map(({ current }) => current);
    expect(made.every((password) => /^[A-Za-z0-9]{32}$/.test(password))).toBe(true);
    expect(new Set(made).size).toBe(2);
    expect((await check(first, {})).table).toEqual(first.table);
    expect(await passwordsRunner.diff("id", first, await check(first, {}))).toEqual({ changes: false, replaces: [] });
  });

  test("another word rotates those that were made, another value one that is given", async () => {
    const first = await check({}, { given: { app: "mine" } });
    expect(first.table["app"]).toEqual({ generation: 1, current: "mine", former: [] });
    const rotated = await check(first, { given: { app: "mine" }, rotation: "2" });
    expect(rotated.table["app"]).toEqual(first.table["app"]);
    expect(rotated.table["admin"]).toEqual({
      generation: 2,
      current: expect.stringMatching(/^[A-Za-z0-9]{32}$/),
      former: [{ generation: 1, password: first.table["admin"]?.current }],
    });
    const given = await check(rotated, { given: { app: "other" }, rotation: "2" });
    expect(given.table["app"]).toEqual({
      generation: 2,
      current: "other",
      former: [{ generation: 1, password: "mine" }],
    });
    expect(given.table["admin"]).toEqual(rotated.table["admin"]);
  });

  test("a user that comes gets one, a user that goes is forgotten, an empty one is refused", async () => {
    const first = await check({}, {});
    const changed = await check(first, { users: ["admin", "worker"] });
    expect(Object.keys(changed.table)).toEqual(["admin", "worker"]);
    const { failures } = await passwordsRunner.check({}, { ...declared, given: { app: "" } });
    expect(failures).toEqual([{ property: "given", reason: expect.stringContaining("users.app.password: is empty") }]);
  });

  test("no more of before than a node may have", () => {
    let record = nextRecord(undefined, undefined, false);
    for (let i = 0; i < 20; i++) record = nextRecord(record, undefined, true);
    expect([record.generation, record.former.length, record.former[0]?.generation]).toEqual([21, 8, 20]);
  });
});
