import type { ChildProcess } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { MigrationWay } from "../../../components/formation/migrate";
import type { MigrationContext } from "../../../components/formation/migrateContext";
import { SlotSetter } from "../../../components/formation/migrateSetSlots";
import { toRanges } from "../../../components/formation/slots";
import { type Command, Connections } from "../../../components/formation/wire";
import { redisCli } from "../../support/clients";
import { failureOf, programFor, until } from "../../support/formation";
import { MODE } from "../../support/modes";
import type { TestServerName } from "../../support/servers";
import { makeRunner, type Runner } from "./runner";
import { ChangingCluster, keyIn } from "./support";
import { SHAPE, Uneven } from "./uneven";

const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];

let runner: Runner;
beforeAll(() => {
  runner = makeRunner();
});
afterAll(() => runner.remove());

/** Every point with FULL, some of them otherwise. */
function points(total: number): number[] {
  const all = Array.from({ length: total }, (_, i) => i + 1);
  return process.env.FULL || total <= 7 ? all : all.filter((k) => k % 5 === 1 || k === total);
}

/** Whether slots are opened and closed by scripts, many in one command. */
const turnsByScript = (server: TestServerName) => server.startsWith("redis");
const NO_SCRIPTS = ['rename-command EVAL ""'];
/** So many that one slot goes at a time. */
const MANY_KEYS = 200;

describe("a move whose runner is killed with SIGKILL", () => {
  const WAYS: readonly (readonly [TestServerName, MigrationWay, string, readonly string[]])[] = [
    ...SERVERS.map((server) => [server, "classic", "", []] as const),
    ["redis-7.0", "classic", ", no scripts", NO_SCRIPTS],
    ["valkey-9.1", "atomicFromSource", "", []],
  ];

  test.for(WAYS)(
    "%s, %s%s: after any of its commands, the next run completes it",
    { timeout: 600_000 },
    async ([server, way, , lines], context) => {
      const uneven = await Uneven.start(context, server, SHAPE, 5_000, lines);
      const { cluster } = uneven;
      await uneven.fill(await uneven.unbalance(), "first");
      const total = (await runner.run(cluster, cluster.history, 0, { way })) ?? 0;
      expect(await cluster.faults()).toEqual([]);
      // Three slots: opened on both ends, moved, closed on both. Whether the third master has to be told depends on gossip.
      const certain =
        way !== "classic" ? 1 : turnsByScript(server) && lines.length === 0 ? 5 : lines.length > 0 ? 15 : 13;
      expect(total).toBeGreaterThanOrEqual(certain);
      let killed = 0;
      const chosen = points(total);
      for (const k of chosen) {
        const slots = await uneven.unbalance();
        await uneven.fill(slots, `before ${k}`);
        if ((await runner.run(cluster, cluster.history, k, { way })) === undefined) killed++;
        await uneven.executorsGone();
        await cluster.reconcile({ way });
        expect([k, await cluster.faults(), await uneven.missing()]).toEqual([k, [], []]);
      }
      expect(killed).toBeGreaterThanOrEqual(chosen.filter((k) => k <= certain).length);
    },
  );
});

describe.each(SERVERS)("a move on %s", (server) => {
  /** What a command says of a slot, by itself or in a script that sets many. */
  function saidOf(slot: number, [name, ...args]: Command): string[] {
    if (name === "CLUSTER" && args[0] === "SETSLOT" && args[1] === slot) return [String(args[2])];
    const [, , , state, , , closed] = args;
    if (name !== "EVAL" || !/^(IMPORTING|MIGRATING)$/.test(String(state))) return [];
    const closing = args.slice(7, 7 + Number(closed));
    const opening = args.slice(7 + Number(closed));
    return [...(closing.includes(slot) ? ["NODE"] : []), ...(opening.includes(slot) ? [String(state)] : [])];
  }

  /** Runs `act` right after the k-th changing command of a run, which goes on as it can. */
  async function interrupt(k: number, act: () => Promise<void>, work: () => Promise<unknown>): Promise<void> {
    const send = Connections.prototype.send;
    let count = 0;
    const spy = vi.spyOn(Connections.prototype, "send").mockImplementation(async function (
      this: Connections,
      endpoint,
      commands,
      options,
    ) {
      const answers = [];
      for (const command of commands) {
        answers.push(...(await send.call(this, endpoint, [command], options)));
        const [name, what] = command;
        if (name === "MIGRATE" || name === "EVAL" || (name === "CLUSTER" && what === "SETSLOT"))
          if (++count === k) await act();
      }
      return answers;
    });
    try {
      await work();
    } finally {
      spy.mockRestore();
    }
  }

  test.for(process.env.FULL ? (["source", "target"] as const) : (["source"] as const))(
    "kill -9 of the %s server, started again: resumed",
    { timeout: 300_000 },
    async (end, context) => {
      // Whatever MIGRATE was told to be there is on the disk.
      const uneven = await Uneven.start(context, server, SHAPE, 2_000, ["appendfsync always"]);
      const { cluster } = uneven;
      const [target = "", source = ""] = await cluster.leaders();
      const bySlot = process.env.FULL ? [1, 4, 6, 7, 8, 9, 10, 12, 13, 15, 18] : [8, 13];
      const byScript = process.env.FULL ? [1, 2, 3, 4, 6, 7] : [2, 6];
      for (const k of turnsByScript(server) ? byScript : bySlot) {
        await uneven.fill(await uneven.unbalance(), `before ${k}`, MANY_KEYS);
        const victim = end === "source" ? source : target;
        await interrupt(
          k,
          async () => {
            await cluster.killNode(victim);
            await cluster.startNode(victim);
          },
          () => cluster.reconcile({ way: "classic" }).catch(() => undefined),
        );
        await cluster.reconcile();
        expect([k, await cluster.faults(), await uneven.missing()]).toEqual([k, [], []]);
      }
    },
  );

  test("a failover of the target or the source on the way: the rest goes to whoever leads now", {
    timeout: 300_000,
  }, async (context) => {
    const uneven = await Uneven.start(context, server, { masters: 3, replicas: 1, zones: 3 }, 1_000);
    const { cluster } = uneven;
    for (const index of [0, 1]) {
      await uneven.fill(await uneven.unbalance(), `before ${index}`, MANY_KEYS);
      const victim = (await cluster.leaders())[index] ?? "";
      // Some keys are on the target, some on the source.
      await interrupt(
        turnsByScript(server) ? 4 : 8,
        async () => {
          await cluster.killNode(victim);
          await until(
            "its replica leads",
            async () => (await cluster.leaders())[index] !== "" && (await cluster.leaders())[index] !== victim,
          );
          await cluster.startNode(victim);
        },
        () => cluster.reconcile({ way: "classic" }).catch(() => undefined),
      );
      await cluster.reconcile();
      expect([index, await cluster.faults(), await uneven.missing()]).toEqual([index, [], []]);
    }
  });

  test("the new owner is named on the target first, then on the source, then to whoever has not heard of it", async (context) => {
    const uneven = await Uneven.start(context, server);
    const { cluster } = uneven;
    const [target = "", source = "", other = ""] = await cluster.leaders();
    const slots = await uneven.unbalance();
    await uneven.fill(slots, "keys");
    const nameOf = new Map(cluster.names.map((name) => [cluster.endpoint(name).port, name]));
    const seen = new Set<string>();
    const send = Connections.prototype.send;
    const tell = vi.spyOn(SlotSetter.prototype, "tell");
    let lost = false;
    const spy = vi.spyOn(Connections.prototype, "send").mockImplementation(async function (
      this: Connections,
      endpoint,
      commands: readonly Command[],
      options,
    ) {
      // As if the new owner's word had been lost on its way to the third master.
      if (!lost && tell.mock.calls.length > 0 && nameOf.get(endpoint.port) === other) {
        lost = true;
        return [{ ok: true, value: "" }];
      }
      for (const said of commands.flatMap((command) => saidOf(slots[0] ?? 0, command)))
        seen.add(`${said} on ${nameOf.get(endpoint.port)}`);
      return send.call(this, endpoint, commands, options);
    });
    await cluster.reconcile({ way: "classic" });
    spy.mockRestore();
    tell.mockRestore();
    expect([...seen]).toEqual([
      `IMPORTING on ${target}`,
      `MIGRATING on ${source}`,
      `NODE on ${target}`,
      `NODE on ${source}`,
      `NODE on ${other}`,
    ]);
  });

  test.skipIf(!turnsByScript(server))(
    "the new owner tells all nodes of a group of slots at once; the source closes them once it has heard of it",
    async (context) => {
      const uneven = await Uneven.start(context, server);
      const { cluster } = uneven;
      const [target = "", source = ""] = await cluster.leaders();
      const slots = await uneven.unbalance(60);
      const sent = async () =>
        Number(/messages_pong_sent:(\d+)/.exec(String(await cluster.call(target, "CLUSTER", "INFO")))?.[1]);
      const connections = cluster.connections("test");
      context.onTestFinished(() => connections.close());
      const never = () => undefined;
      const setter = new SlotSetter({ connections, servers: {}, stopReason: never } as unknown as MigrationContext, []);
      const id = async (name: string) => String(await cluster.call(name, "CLUSTER", "MYID"));
      const [owner, former] = [await id(target), await id(source)];
      const importing = { owner, peer: former, state: "IMPORTING" as const };
      const migrating = { owner, peer: owner, state: "MIGRATING" as const };
      const open = { closed: [], opening: slots };
      const closed = { closed: slots, opening: [] };
      const view = async () => String(await cluster.call(source, "CLUSTER", "NODES"));
      const openIn = (text: string) => [...text.matchAll(/\[\d+->-/g)].length;

      await setter.turn(cluster.endpoint(target), target, { ...open, ...importing }, {});
      const opened = await setter.turn(cluster.endpoint(source), source, { ...open, ...migrating }, {});
      expect(opened.counted.map((answer) => answer.ok && answer.value)).toEqual(slots.map(() => 0));
      const early = await setter.turn(cluster.endpoint(source), source, { ...closed, ...migrating }, {});
      expect([early.unheard, openIn(await view())]).toEqual([slots, slots.length]);

      const before = await sent();
      await setter.turn(cluster.endpoint(target), target, { ...closed, ...importing }, {});
      await setter.settle(cluster.endpoint(source), source, slots, owner);
      expect((await sent()) - before).toBeLessThan(slots.length);
      expect([openIn(await view()), await uneven.plannedSlots()]).toEqual([0, []]);
      expect(await cluster.faults()).toEqual([]);
    },
  );

  // No password is to lie in a script's arguments.
  const byItself = MODE.strict
    ? "a source that has to log in at the target is told which keys to move"
    : "a source lists and moves keys by itself";
  test.for([
    [byItself, []],
    ["a source that runs no scripts is told which", NO_SCRIPTS],
  ] as const)("%s; replicas of both ends follow", async ([, lines], context) => {
    const shape = { masters: 3, replicas: 1, zones: 3 };
    const cluster = await ChangingCluster.start(await programFor(context, server), shape, { lines });
    context.onTestFinished(() => cluster.stop());
    const uneven = new Uneven(cluster);
    await uneven.fill(await uneven.unbalance(), "keys");
    // More than one script takes.
    const [slot = 0] = await uneven.plannedSlots();
    const client = cluster.client();
    await client.mset(Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [keyIn(slot, 10 + i), "value"])));
    client.disconnect();
    const sent = vi.spyOn(Connections.prototype, "send");
    await cluster.reconcile({ way: "classic" });
    const named = sent.mock.calls.some(([, commands]) => commands.some(([name]) => name === "MIGRATE"));
    sent.mockRestore();
    expect(named).toBe(lines.length > 0 || MODE.strict);
    for (const shard of cluster.goal.plan.shards) {
      const sizes = () => Promise.all(shard.nodes.map(({ name }) => cluster.call(name, "DBSIZE")));
      await until("the replica has what its master has", async () => new Set(await sizes()).size === 1);
    }
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });

  test.for(["before the move", "in the middle of it"] as const)(
    "a long script of somebody else on the source, %s: waited for, and no key is lost",
    async (when, context) => {
      const uneven = await Uneven.start(context, server);
      const { cluster } = uneven;
      await uneven.fill(await uneven.unbalance(), "keys");
      const [, source = ""] = await cluster.leaders();
      await cluster.call(source, "CONFIG", "SET", "busy-reply-threshold", 50);
      const client = cluster.connect(source);
      context.onTestFinished(() => client.disconnect());
      let script: Promise<unknown> | undefined;
      const beBusy = async () => {
        script = client.eval("for i = 1, 1e8 do end", 0);
        const ask = () => cluster.call(source, "DBSIZE").then(String, String);
        await until("the source says that it is busy", async () => /BUSY/.test(await ask()));
      };
      if (when === "before the move") {
        await beBusy();
        await cluster.reconcile({ way: "classic" });
      } else {
        // Two slots are open and empty by then.
        await interrupt(8, beBusy, () => cluster.reconcile({ way: "classic" }));
      }
      await script;
      expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
    },
  );

  test("a key on both ends: equal copies become one, different ones are named and kept", async (context) => {
    const uneven = await Uneven.start(context, server);
    const { cluster } = uneven;
    const [target = "", source = ""] = await cluster.leaders();
    const slots = await uneven.unbalance();
    await uneven.fill(slots, "keys");
    const [slot = 0] = slots;
    const [twin, other] = [keyIn(slot, 0), keyIn(slot, 1)];
    const [sourceId, targetId] = [
      await cluster.call(source, "CLUSTER", "MYID"),
      await cluster.call(target, "CLUSTER", "MYID"),
    ];
    await cluster.call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", String(sourceId));
    await cluster.call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", String(targetId));
    const there = cluster.connect(target);
    const put = async (key: string, value: string) => {
      await there.call("ASKING");
      await there.set(key, value);
    };
    await put(twin, uneven.written.get(twin) ?? "");
    await put(other, "something else");
    const failure = await failureOf(cluster.reconcile({ way: "classic" }));
    expect(failure.refusals.map((r) => [r.kind, r.subject])).toEqual([["conflicting-keys", target]]);
    expect(failure.message).toContain(JSON.stringify(other));
    expect(failure.message).not.toContain(JSON.stringify(twin));
    await there.call("ASKING");
    expect(await there.get(other)).toBe("something else");
    await there.call("ASKING");
    await there.del(other);
    there.disconnect();
    await cluster.reconcile();
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });

  test("a key too big to move is named before its slot is opened; without it the move goes on", async (context) => {
    // Half a second at 100 MB/s.
    const uneven = await Uneven.start(context, server, SHAPE, 1_000);
    const { cluster } = uneven;
    const slots = await uneven.unbalance();
    await uneven.fill(slots, "keys");
    const big = keyIn(slots[1] ?? 0, 99);
    const client = cluster.client();
    await client.set(big, Buffer.alloc(60_000_000, "x"));
    const failure = await failureOf(cluster.reconcile({ way: "classic" }));
    expect(failure.refusals.map((r) => r.kind)).toEqual(["big-key"]);
    expect(failure.message).toContain(JSON.stringify(big));
    expect(failure.message).toMatch(/string, 6\d MB/);
    for (const name of cluster.names)
      expect(String(await cluster.call(name, "CLUSTER", "NODES"))).not.toMatch(/\[\d+-[<>]-/);
    await client.del(big);
    client.disconnect();
    await cluster.reconcile({ way: "classic" });
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });

  test("slots that an aborted redis-cli reshard left open are finished", async (context) => {
    const uneven = await Uneven.start(context, server);
    const { cluster } = uneven;
    const [to = "", from = ""] = await cluster.leaders();
    const client = cluster.client();
    await Promise.all(Array.from({ length: 20_000 }, (_, i) => client.set(`key:${i}`, `value ${i}`)));
    client.disconnect();
    for (let i = 0; i < 20_000; i += 97) uneven.written.set(`key:${i}`, `value ${i}`);
    const { address, port } = cluster.endpoint(from);
    const [toId, fromId] = [await cluster.call(to, "CLUSTER", "MYID"), await cluster.call(from, "CLUSTER", "MYID")];
    const how = ["--cluster-from", String(fromId), "--cluster-to", String(toId), "--cluster-slots", "2000"];
    const command = ["--cluster", "reshard", `${address}:${port}`, ...how, "--cluster-yes"];
    let reshard: ChildProcess | undefined;
    const ended = redisCli(cluster.cliPath, command, cluster.login, (child) => (reshard = child));
    const open = async () => /\[\d+-[<>]-/.test(String(await cluster.call(from, "CLUSTER", "NODES")));
    // Killed where a slot is open: when it is not, it is too early by a moment.
    await until(
      "some slots have moved",
      async () =>
        Number(/cluster_my_epoch:(\d+)/.exec(String(await cluster.call(to, "CLUSTER", "INFO")))?.[1]) > 3 &&
        (await open()),
    );
    reshard?.kill("SIGKILL");
    await ended;
    if (!(await open())) {
      // It died between two slots; one is opened in its place, as it would have done next.
      const slot = (await uneven.plannedSlots())[0] ?? 0;
      await cluster.call(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", String(fromId)).catch(() => undefined);
      await cluster.call(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", String(toId)).catch(() => undefined);
    }
    await cluster.reconcile();
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
  });

  test("fewer masters than the data need are refused, with the figures", async (context) => {
    const lines = ["maxmemory 12mb", "maxmemory-policy noeviction"];
    const cluster = await ChangingCluster.start(await programFor(context, server), { ...SHAPE, masters: 4 }, { lines });
    context.onTestFinished(() => cluster.stop());
    const client = cluster.client();
    for (let i = 0; i < 24; i++) await client.set(`big:${i}`, Buffer.alloc(1_000_000, "x"));
    await cluster.declare(SHAPE);
    const failure = await failureOf(cluster.reconcile());
    expect(failure.refusals.map((r) => r.kind)).toEqual(["no-memory"]);
    expect(failure.message).toMatch(/4 masters hold \d+ MiB, and the 3 that stay have maxmemory for 36 MiB/);
    for (let i = 0; i < 24; i++) expect(await client.strlen(`big:${i}`)).toBe(1_000_000);
    client.disconnect();
  });

  test("a target that fills up on the way ends the move with the figures, and no key is lost", async (context) => {
    const uneven = await Uneven.start(context, server);
    const { cluster } = uneven;
    const [target = ""] = await cluster.leaders();
    const slots = await uneven.unbalance();
    await uneven.fill(slots, "keys");
    const used = Number(/used_memory:(\d+)/.exec(String(await cluster.call(target, "INFO", "memory")))?.[1]);
    await cluster.call(target, "CONFIG", "SET", "maxmemory", used);
    const failure = await failureOf(cluster.reconcile());
    expect(failure.refusals.map((r) => [r.kind, r.subject])).toEqual([["no-memory", target]]);
    expect(failure.message).toMatch(/maxmemory of \d+ MiB/);
    expect(await uneven.missing()).toEqual([]);
    await cluster.call(target, "CONFIG", "SET", "maxmemory", 0);
    await cluster.reconcile();
    expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
    expect(toRanges(await uneven.plannedSlots())).toEqual([]);
  });
});

test("keys in other databases, which would not move with their slots: refused, and nothing is opened", async (context) => {
  const program = await programFor(context, "valkey-9.1");
  const cluster = await ChangingCluster.start(program, SHAPE, { lines: ["cluster-databases 4"] });
  context.onTestFinished(() => cluster.stop());
  const uneven = new Uneven(cluster);
  await uneven.fill(await uneven.unbalance(), "keys");
  const [, source = ""] = await cluster.leaders();
  const [slot = 0] = await uneven.plannedSlots();
  const client = cluster.connect(source);
  await client.select(1);
  await client.set(keyIn(slot, 0), "elsewhere");
  const failure = await failureOf(cluster.reconcile({ way: "classic" }));
  expect(failure.refusals.map((r) => [r.kind, r.subject])).toEqual([["other-databases", source]]);
  expect(await client.get(keyIn(slot, 0))).toBe("elsewhere");
  expect(String(await cluster.call(source, "CLUSTER", "NODES"))).not.toMatch(/\[\d+-[<>]-/);
  await client.del(keyIn(slot, 0));
  client.disconnect();
  await cluster.reconcile({ way: "classic" });
  expect([await cluster.faults(), await uneven.missing()]).toEqual([[], []]);
});
