import { describe, expect, test } from "vitest";
import { reportedAs } from "../../../components/config/aclList";
import type { AclUser } from "../../../components/config/types";
import { defaultUser } from "../../../components/config/usersAcl";
import type { AnsweringNode } from "../../../components/formation/observation";
import { describeStep, type Step } from "../../../components/formation/steps";
import {
  type ObservedUsers,
  OPEN_NODE,
  planUsers,
  type UsersGoal,
  userDifferences,
  usersAsDeclared,
} from "../../../components/formation/users";

const hash = (letter: string) => letter.repeat(64);
const [OLD, NEW] = [hash("a"), hash("b")];

function goalWith(hashes: readonly string[], more: Partial<UsersGoal> = {}): UsersGoal {
  const users: AclUser[] = [
    { name: "admin", passwordHashes: hashes, keys: ["*"], channels: ["*"], commands: ["+@all"] },
    { name: "app", passwordHashes: hashes, keys: ["s:*"], commands: ["+@read"] },
    { name: "replication", passwordHashes: hashes, commands: ["+psync", "+replconf", "+ping"] },
  ];
  const replication = { username: "replication", password: "secret", passwordHash: hashes.at(-1) ?? "" };
  return { users, openDefaultUser: false, ended: {}, replication, ...more };
}

const node = (name: string, users: ObservedUsers): AnsweringNode =>
  ({ answering: true, name, server: { name: "redis", version: "7.0.15" }, users }) as unknown as AnsweringNode;

/** What a step leaves of a node's users; `forecast` does the same with whole observations. */
function after(users: ObservedUsers, step: Step): ObservedUsers {
  const without = (name: string) => users.reported.filter((user) => user.name !== name);
  if (step.do === "setUser") return { ...users, reported: [...without(step.user.name), reportedAs(step.user)] };
  if (step.do === "deleteUser") return { ...users, reported: without(step.user) };
  if (step.do === "setReplicationLogin")
    return { ...users, replication: { username: step.username, passwordHash: step.passwordHash } };
  return users;
}

/** All batches until nothing differs, each as `node: step`. */
function batches(goal: UsersGoal, start: Readonly<Record<string, ObservedUsers>>): string[][] {
  const state = new Map(Object.entries(start));
  const done: string[][] = [];
  for (;;) {
    const steps = planUsers(
      goal,
      [...state].map(([name, users]) => node(name, users)),
    );
    if (steps.length === 0) return done;
    if (done.length > 9) throw new Error("no end");
    for (const step of steps) state.set(step.node, after(state.get(step.node) ?? OPEN_NODE, step));
    done.push(steps.filter((s) => s.do !== "saveUsers").map((s) => `${s.node}: ${describeStep(s)}`));
    expect(new Set(steps.filter((s) => s.do === "saveUsers").map((s) => s.node))).toEqual(
      new Set(steps.map((s) => s.node)),
    );
  }
}

describe("who may log in, step by step", () => {
  test("nothing to do where it is as declared", () => {
    const goal = goalWith([NEW]);
    expect(planUsers(goal, [node("a", usersAsDeclared(goal))])).toEqual([]);
    expect(userDifferences(goal, node("a", usersAsDeclared(goal)))).toEqual([]);
  });

  test("an open cluster closes: users everywhere, then replicas, then the default user with its sessions", () => {
    const [users = [], logins = [], closing = [], ...rest] = batches(goalWith([NEW]), { a: OPEN_NODE, b: OPEN_NODE });
    expect(users).toEqual(
      ["a", "b"].flatMap((n) => ["admin", "app", "replication"].map((u) => `${n}: make user ${u}`)),
    );
    expect(logins).toEqual(["a", "b"].map((n) => `${n}: log in at masters as replication with its present password`));
    expect(closing).toEqual(
      ["a", "b"].map(
        (n) =>
          `${n}: close the default user, so that nobody comes in without a password; its sessions end, and clients log in again`,
      ),
    );
    expect(rest).toEqual([]);
  });

  test("one that stays open for now keeps the default user", () => {
    const goal = goalWith([NEW], { openDefaultUser: true });
    expect(batches(goal, { a: OPEN_NODE })).toHaveLength(2);
  });

  test("a new password is added beside the former one everywhere before replicas use it", () => {
    const before = usersAsDeclared(goalWith([OLD]));
    const [added = [], moved = [], ...rest] = batches(goalWith([OLD, NEW]), { a: before, b: before });
    expect(added).toHaveLength(6);
    expect(added.every((line) => /as declared \(it has other passwords\)$/.test(line))).toBe(true);
    expect(moved).toHaveLength(2);
    expect(rest).toEqual([]);
  });

  test("a password that a replica still uses ends after that replica has moved, whatever is asked for at once", () => {
    const before = usersAsDeclared(goalWith([OLD]));
    const late = batches(goalWith([NEW]), { a: before, b: before });
    // Users with the new one (replication with both), then the logins, then replication with the new one alone.
    expect(late.map((batch) => batch.length)).toEqual([6, 2, 2]);
    const first = planUsers(goalWith([NEW]), [node("a", before), node("b", before)]);
    const ofReplication = first.flatMap((s) => (s.do === "setUser" && s.user.name === "replication" ? [s] : []));
    expect(ofReplication.map((s) => [s.user.passwordHashes, s.endSessions])).toEqual([
      [[OLD, NEW], "none"],
      [[OLD, NEW], "none"],
    ]);
    const ofApp = first.flatMap((s) => (s.do === "setUser" && s.user.name === "app" ? [s] : []));
    expect(ofApp.map((s) => [s.user.passwordHashes, s.endSessions])).toEqual([
      [[NEW], "all"],
      [[NEW], "all"],
    ]);
    // One that a rotation has ended is known to be from before.
    const ended = { app: { hashes: [OLD], since: 0 } };
    const [known] = planUsers(goalWith([NEW], { ended }), [node("a", before)]).filter(
      (s) => s.do === "setUser" && s.user.name === "app",
    );
    expect(known).toMatchObject({ endSessions: "former" });
  });

  test("killed between any two steps, the next look goes on to the same end", () => {
    const goals = [goalWith([OLD, NEW]), goalWith([NEW])];
    const before = usersAsDeclared(goalWith([OLD]));
    for (const [start, goal] of [[OPEN_NODE, goalWith([NEW])], ...goals.map((g) => [before, g] as const)] as const) {
      const all = planUsers(goal, [node("a", start), node("b", start)]);
      for (let kill = 0; kill <= all.length; kill++) {
        const state = { a: start, b: start };
        for (const step of all.slice(0, kill)) {
          const name = step.node as "a" | "b";
          state[name] = after(state[name], step);
        }
        batches(goal, state);
      }
    }
  });

  test("what somebody added goes, and is named; a new node is as declared", () => {
    const goal = goalWith([NEW]);
    const before = usersAsDeclared(goal);
    const changed = {
      ...before,
      reported: [
        ...before.reported.filter(({ name }) => name !== "app"),
        reportedAs({ name: "intruder", passwordHashes: [], nopass: true, commands: ["+@all"] }),
      ],
    };
    expect(userDifferences(goal, node("a", changed))).toEqual([
      { user: "app", what: "missing" },
      { user: "intruder", what: "not declared" },
    ]);
    expect(batches(goal, { a: changed })).toEqual([
      ["a: make user app"],
      ["a: delete user intruder, which is not declared; its sessions end"],
    ]);
  });

  test("the default user that was opened by hand is closed, and its sessions end", () => {
    const goal = goalWith([NEW]);
    const before = usersAsDeclared(goal);
    const opened = {
      ...before,
      reported: [...before.reported.filter((u) => u.name !== "default"), reportedAs(defaultUser(true))],
    };
    const [step] = planUsers(goal, [node("a", opened)]);
    expect(step).toMatchObject({ do: "setUser", endSessions: "all" });
  });
});
