import { afterAll, beforeAll, describe, expect, type TestContext, test, vi } from "vitest";
import { rememberMembers } from "../../../components/formation/members";
import { observe } from "../../../components/formation/observe";
import { Connections } from "../../../components/formation/wire";
import { failureOf, until } from "../../support/formation";
import { makeRunner, type Runner } from "./runner";
import { SHAPE, Uneven } from "./uneven";

const SERVER = "valkey-9.1";
/** Long enough to look at a job while it is under way, and to take it back. */
const SLOW_MICROSECONDS_A_KEY = "100000";

/** A pair that is uneven, keys in what is to move, and a source that takes its time. */
async function slow(context: TestContext): Promise<Uneven> {
  const uneven = await Uneven.start(context, SERVER);
  await uneven.fill(await uneven.unbalance(10), "first");
  await pace(uneven, SLOW_MICROSECONDS_A_KEY);
  return uneven;
}

async function pace({ cluster }: Uneven, microseconds: string): Promise<void> {
  for (const name of await cluster.leaders())
    await cluster.call(name, "CONFIG", "SET", "rdb-key-save-delay", microseconds);
}

/** Calls `act` after each command of this name was answered. */
function following(command: string, act: (connections: Connections) => Promise<unknown>): () => number {
  const send = Connections.prototype.send;
  let count = 0;
  const spy = vi.spyOn(Connections.prototype, "send").mockImplementation(async function (
    this: Connections,
    endpoint,
    commands,
    options,
  ) {
    const answers = await send.call(this, endpoint, commands, options);
    if (commands.some(([name, sub]) => name === "CLUSTER" && sub === command)) {
      count++;
      await act(this);
    }
    return answers;
  });
  return () => {
    spy.mockRestore();
    return count;
  };
}

const jobs = async ({ cluster }: Uneven) =>
  (await Promise.all(cluster.names.map((name) => cluster.call(name, "CLUSTER", "GETSLOTMIGRATIONS"))))
    .map((answer) => JSON.stringify(answer))
    .join("\n");

let runner: Runner;
beforeAll(() => {
  runner = makeRunner();
});
afterAll(() => runner.remove());

describe("handing slots over atomically", () => {
  test("jobs that fail every time: after three the slots go key by key, and it is said", async (context) => {
    const uneven = await slow(context);
    const { cluster } = uneven;
    const [, source = ""] = await cluster.leaders();
    const lines: string[] = [];
    const begun = following("MIGRATESLOTS", () => cluster.call(source, "CLUSTER", "CANCELSLOTMIGRATIONS"));
    await cluster.reconcile({ onProgress: (line) => lines.push(line) });
    expect(begun()).toBe(3);
    expect(lines.filter((l) => /cancelled .*, 3 times in a row; these slots go key by key/.test(l))).toHaveLength(1);
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });

  test("when it is time to stop, the job is taken back: its slots stay, whole, and the next run moves them", async (context) => {
    const uneven = await slow(context);
    const { cluster } = uneven;
    const wanted = await uneven.plannedSlots();
    const begun = following("MIGRATESLOTS", () => Promise.resolve());
    const time = new Date(Date.now() + 1_500).toISOString();
    const failure = await failureOf(cluster.reconcile({ migration: { until: time } }));
    expect(failure.message).toMatch(/^slots stopped moving/);
    // On a machine so slow that the time had passed before the move began, there was nothing to take back.
    if (begun() > 0) expect(await jobs(uneven)).toMatch(/"cancelled"/);
    expect([await uneven.plannedSlots(), await uneven.missing()]).toEqual([wanted, []]);
    await pace(uneven, "0");
    await cluster.reconcile();
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });

  test("a job that a killed run left behind is waited for, before a node that it fills is taken for empty", async (context) => {
    const uneven = await Uneven.start(context, SERVER);
    const { cluster } = uneven;
    const slots = Array.from({ length: 4_096 }, (_, i) => i * 4);
    await uneven.fill(
      slots.filter((_, i) => i % 200 === 0),
      "first",
    );
    // Whoever comes next must find it under way, on a busy machine too.
    await pace(uneven, "1000000");
    const three = cluster.history;
    await cluster.declare({ ...SHAPE, masters: 4 });
    const fourth = cluster.names.at(-1) ?? "";
    // Killed at every first step, the last of which asks for a job.
    while (!(await jobs(uneven)).includes("EXPORT")) expect(await runner.run(cluster, three, 1)).toBe(undefined);
    await pace(uneven, "0");
    await uneven.executorsGone();
    const connections = cluster.connections();
    const members = rememberMembers(cluster.goal, three.members, await observe(cluster.goal, connections));
    connections.close();
    expect(members.map((m) => m.name)).toContain(fourth);
    cluster.history = { members, verified: true };
    await cluster.declare(SHAPE);
    const lines: string[] = [];
    const result = await cluster.reconcile({ onProgress: (line) => lines.push(line) });
    expect(lines.filter((l) => /hands slots over, as an earlier run or somebody else asked it to/.test(l))).not.toEqual(
      [],
    );
    expect(result.members.map((m) => m.name)).not.toContain(fourth);
    await until("the fourth is empty", async () => Number(await cluster.call(fourth, "DBSIZE")) === 0);
    await cluster.endRetired();
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });
});
