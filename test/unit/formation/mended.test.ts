import { describe, expect, test, vi } from "vitest";
import { layoutOf } from "../../../components/formation/layout";
import type { Plan } from "../../../components/formation/plan";
import { strayKeys } from "../../../components/formation/strayKeys";
import { REDIS_7_0, VALKEY_8_1 } from "../../support/model/cluster";
import { type ModelShape, ModelStack } from "../../support/model/formation";

// Nothing here takes long, but on a busy machine everything does.
vi.setConfig({ testTimeout: 60_000 });

const SHAPE: ModelShape = { masters: 3, replicas: 1, zones: 3 };
const DONE: Plan = { kind: "done" };

async function formed(shape = SHAPE, engine = REDIS_7_0): Promise<ModelStack> {
  const stack = new ModelStack(shape, engine);
  expect(await stack.converge()).toEqual(DONE);
  for (const node of stack.model.nodes) for (const slot of node.owned.slice(0, 3)) node.keysIn(slot).add(`in ${slot}`);
  stack.model.replicate();
  return stack;
}

const shardsOf = async (stack: ModelStack) => layoutOf(stack.goal, await stack.observe());
const keysOf = (stack: ModelStack) =>
  stack.model.nodes.filter((n) => n.self.role === "master").reduce((sum, n) => sum + n.keyCount, 0);

describe("slots that were deleted in their owner's view", () => {
  /** Its successor leads the second shard, and lost two slots before anybody but the former leader had heard of it. */
  async function knownToAFollower(): Promise<{ stack: ModelStack; slots: readonly number[]; named: string[] }> {
    const stack = await formed();
    const [, shard] = await shardsOf(stack);
    const leader = stack.node(shard?.replicas[0]?.name ?? "");
    stack.model.call(leader, ["CLUSTER", "FAILOVER"]);
    const slots = leader.owned.slice(0, 2);
    stack.model.call(leader, ["CLUSTER", "DELSLOTS", ...slots]);
    stack.model.settle();
    const named = stack.names.filter((name) => slots.some((slot) => stack.node(name).slots[slot] !== undefined));
    expect(named).toEqual([shard?.leader?.name]);
    return { stack, slots, named };
  }

  test("are claimed again, also where only who follows it knows of them", async () => {
    const { stack, slots } = await knownToAFollower();
    const { next } = await stack.look();
    expect(next).toMatchObject({ kind: "act", phase: "recover", steps: [{ do: "nameOwner" }] });
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(9);
    const [, shard] = await shardsOf(stack);
    expect(slots.map((slot) => stack.node(shard?.leader?.name ?? "").slots[slot])).toEqual(
      slots.map(() => shard?.leader?.id),
    );
  });

  test.each(["silent", "back under another ID"])(
    "are not on a follower's word alone, while a member is %s: it may have owned them since",
    async (how) => {
      const { stack, named } = await knownToAFollower();
      const [other] = (await shardsOf(stack))
        .flatMap((s) => s.replicas.map((r) => r.name))
        .filter((n) => !named.includes(n));
      const gone = stack.node(other ?? "");
      if (how === "silent") gone.running = false;
      else gone.loseIdentity(stack.model.newId(), false);
      stack.model.settle();
      const { next } = await stack.look();
      expect(next.kind === "act" ? next.steps.filter((s) => s.do === "nameOwner") : []).toEqual([]);
    },
  );

  test("are claimed again, also where blank nodes have just been added, which name no owner", async () => {
    const stack = await formed();
    const [shard] = await shardsOf(stack);
    const owner = stack.node(shard?.leader?.name ?? "");
    stack.declare({ ...SHAPE, masters: 4 });
    stack.model.call(owner, ["CLUSTER", "DELSLOTS", ...owner.owned.slice(0, 2)]);
    stack.model.settle();
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(9);
  });

  test("are not, where others name somebody else: that is refused as lost", async () => {
    const stack = await formed({ ...SHAPE, replicas: 0 });
    const [a, b] = (await shardsOf(stack)).map((s) => stack.node(s.leader?.name ?? ""));
    const slot = a?.owned[0] ?? 0;
    for (const node of stack.model.nodes) node.slots[slot] = node === b ? a?.id : undefined;
    if (a) a.slots[slot] = undefined;
    // One of two others is no majority.
    expect((await stack.look()).next).toMatchObject({ kind: "refuse", refusals: [{ kind: "data-lost" }] });
  });
});

describe("a slot that is open", () => {
  test("keeps nobody from naming the owner of other slots, which were deleted in its view", async () => {
    const stack = await formed({ ...SHAPE, replicas: 0 });
    const [a, b, c] = (await shardsOf(stack)).map((s) => stack.node(s.leader?.name ?? ""));
    if (!a || !b || !c) throw new Error("not formed");
    stack.model.call(b, ["CLUSTER", "SETSLOT", b.owned[0] ?? 0, "MIGRATING", c.id]);
    // The only other one that could tell does not know it any more.
    stack.model.call(a, ["CLUSTER", "FORGET", c.id]);
    stack.model.call(c, ["CLUSTER", "DELSLOTS", ...c.owned.slice(0, 2)]);
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(9);
  });
});

describe("a leader that is to leave and lost its nodes.conf", () => {
  test.each(["before anybody missed it", "after its replica took over"])(
    "%s: its shard is drained all the same",
    async (when) => {
      const stack = await formed({ ...SHAPE, masters: 4 });
      const leaving = stack.node((await shardsOf(stack))[3]?.leader?.name ?? "");
      if (when !== "before anybody missed it") {
        leaving.running = false;
        stack.model.settle();
        leaving.running = true;
      }
      leaving.loseIdentity(stack.model.newId(), true);
      stack.declare(SHAPE);
      stack.model.settle();
      expect(await stack.converge()).toEqual(DONE);
      expect(keysOf(stack)).toBe(12);
    },
  );
});

describe("a shard that is to leave, empty already, whose leader lost its nodes.conf", () => {
  test("leaves: its replica follows an ID that is gone, and that nobody succeeds", async () => {
    const stack = await formed({ ...SHAPE, masters: 4 });
    stack.declare(SHAPE);
    for (;;) {
      const { next, observation } = await stack.look();
      if (next.kind === "act" && next.steps.some((s) => s.do === "reset")) break;
      if (next.kind !== "act" && next.kind !== "wait") throw new Error(JSON.stringify(next));
      await stack.carryOut(next, observation);
      stack.model.settle();
    }
    const [leader, replica] = stack.names.filter((n) => n.startsWith("sessions-3")).map((n) => stack.node(n));
    expect([leader?.self.role, replica?.self.masterId]).toEqual(["master", leader?.id]);
    leader?.loseIdentity(stack.model.newId(), true);
    stack.model.settle();
    expect(await stack.converge()).toEqual(DONE);
    expect([replica?.known.size, keysOf(stack)]).toEqual([1, 12]);
  });
});

describe("a node that lost its nodes.conf and holds keys of a slot on its way to its shard", () => {
  /** The first shard imports a slot of the third one, and has its keys already; then one of its nodes is back without its nodes.conf. */
  async function lostMeanwhile(
    who: "leader" | "replica",
    before: (stack: ModelStack) => void = () => {},
    engine = REDIS_7_0,
  ) {
    const stack = await formed(SHAPE, engine);
    const [to, , from] = await shardsOf(stack);
    const [target, source] = [stack.node(to?.leader?.name ?? ""), stack.node(from?.leader?.name ?? "")];
    const slot = source.owned[0] ?? 0;
    stack.model.call(target, ["CLUSTER", "SETSLOT", slot, "IMPORTING", source.id]);
    stack.model.call(source, ["CLUSTER", "SETSLOT", slot, "MIGRATING", target.id]);
    const { address, port } = target.endpoint;
    stack.model.call(source, ["MIGRATE", address, port, "", 0, 0, "KEYS", `in ${slot}`]);
    before(stack);
    const name = (who === "leader" ? to?.leader : to?.replicas[0])?.name ?? "";
    stack.node(name).loseIdentity(stack.model.newId(), true);
    stack.model.settle();
    expect(stack.node(name).slots[slot]).toBe(stack.node(name).id);
    return { stack, name, slot, source };
  }

  async function joining({ stack, name }: { stack: ModelStack; name: string }): Promise<string[]> {
    const steps: string[] = [];
    for (;;) {
      const { next, observation } = await stack.look();
      if (next.kind !== "act") throw new Error(`it never joined: ${JSON.stringify(next)}`);
      await stack.carryOut(next, observation);
      if (next.phase === "join") return steps;
      if (next.phase === "recover") steps.push(...next.steps.filter((s) => s.node === name).map((s) => s.do));
      // What it holds of that slot is no stray: its shard's leader has it.
      const { strays } = await strayKeys(await stack.observe(), stack.model.connections());
      expect(strays.map(({ node }) => node.name)).not.toContain(name);
      stack.model.settle();
    }
  }

  test.each(["leader", "replica"] as const)("is taken back where it was its %s", async (who) => {
    const { stack, name, slot } = await lostMeanwhile(who);
    // Before anybody hears of it: it claims what its shard's leader owns, which takes all of it with one word.
    expect(await joining({ stack, name })).toEqual(["addSlotsRange", "releaseSlots"]);
    expect(stack.node(name).keys.get(slot)?.size).toBe(1);
    stack.model.settle();
    expect(stack.node(name).self.role).toBe("replica");
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(9);
  });

  test.each(["leader", "replica"] as const)(
    "is on Valkey, where it was its %s, but keeps that slot until its owner takes it: keys of others would stay",
    async (who) => {
      const { stack, name } = await lostMeanwhile(who, () => {}, VALKEY_8_1);
      expect(await joining({ stack, name })).toEqual(["addSlotsRange"]);
      stack.model.settle();
      // A master still, and without a key.
      expect([stack.node(name).self.role, stack.node(name).keyCount]).toEqual(["master", 0]);
      expect(await stack.converge()).toEqual(DONE);
      expect(keysOf(stack)).toBe(9);
    },
  );

  test("is refused where nothing tells that the slot was on its way", async () => {
    const { stack, name, slot } = await lostMeanwhile("replica", (stack) => {
      for (const node of stack.model.nodes)
        for (const slot of [...node.importing.keys(), ...node.migrating.keys()])
          stack.model.call(node, ["CLUSTER", "SETSLOT", slot, "STABLE"]);
    });
    const { next } = await stack.look();
    expect(next).toMatchObject({ kind: "refuse", refusals: [{ kind: "two-clusters", subject: name }] });
    const { refusals } = next as Extract<Plan, { kind: "refuse" }>;
    expect(refusals[0]?.message).toMatch(
      new RegExp(`; of these, ${slot} is not of shard-0, and no open slot tells of a move there$`),
    );
    expect(refusals[0]?.remedy).toContain("start it with an empty data folder");
  });

  test("is refused where it owns others besides", async () => {
    const { stack, name, source } = await lostMeanwhile("replica");
    const other = source.owned.at(-1) ?? 0;
    stack.node(name).slots[other] = stack.node(name).id;
    expect((await stack.look()).next).toMatchObject({
      kind: "refuse",
      refusals: [{ kind: "two-clusters", subject: name }],
    });
  });
});

describe("a former leader that lost its nodes.conf, and whose successor was written to since", () => {
  /** The second shard's leader, which the plan has as a replica, is back with old data; its successor has one key more. */
  async function succeeded(
    shape: ModelShape,
    before: (stack: ModelStack) => Promise<void> = async () => {},
  ): Promise<{ stack: ModelStack; successor: string }> {
    const stack = await formed(shape);
    await before(stack);
    const [, shard] = await shardsOf(stack);
    const former = stack.node(shard?.replicas[0]?.name ?? "");
    stack.model.call(former, ["CLUSTER", "FAILOVER"]);
    stack.model.settle();
    former.running = false;
    stack.model.settle();
    const successor = (await shardsOf(stack))[1]?.leader?.name ?? "";
    stack
      .node(successor)
      .keysIn(stack.node(successor).owned[0] ?? 0)
      .add("written since");
    stack.model.replicate();
    former.loseIdentity(stack.model.newId(), true);
    former.running = true;
    return { stack, successor };
  }

  test.each([4, 5])("meets the others before any of the blank nodes for %i masters does", async (masters) => {
    const { stack } = await succeeded(SHAPE);
    const former = stack.model.nodes.find((n) => n.known.size === 1);
    // It is to leave, and so among the last that would meet the others.
    stack.declare({ ...SHAPE, masters, replicas: 0 });
    const name = stack.names.find((n) => stack.node(n) === former);
    for (;;) {
      const { next, observation } = await stack.look();
      if (next.kind !== "act") throw new Error(`it never joined: ${JSON.stringify(next)}`);
      await stack.carryOut(next, observation);
      stack.model.settle();
      if (next.phase !== "join") continue;
      expect(next.steps.filter((s) => s.do !== "meet" || (s.node !== name && s.peer !== name))).toEqual([]);
      break;
    }
    expect(former?.self.role).toBe("replica");
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(10);
  });

  test("meets masters that joined before, and own no slot as yet, once these have epochs of their own", async () => {
    const { stack } = await succeeded(SHAPE, async (stack) => {
      stack.declare({ ...SHAPE, masters: 4 });
      for (;;) {
        const { next, observation } = await stack.look();
        if (next.kind === "act" && next.phase === "move") break;
        await stack.carryOut(next, observation);
        stack.model.settle();
      }
      // As it stays where nobody else that is new was a master when they met.
      for (const { owned, self } of stack.model.nodes)
        if (self.role === "master" && owned.length === 0) self.configEpoch = 0;
    });
    const steps: string[] = [];
    for (;;) {
      const { next, observation } = await stack.look();
      if (next.kind !== "act") throw new Error(`it never joined: ${JSON.stringify(next)}`);
      steps.push(...next.steps.map((s) => s.do));
      await stack.carryOut(next, observation);
      stack.model.settle();
      if (next.phase === "join") break;
    }
    expect(steps.filter((s) => s !== "meet")).toEqual(["addSlotsRange", "bumpEpoch"]);
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(10);
  });

  test("does not lead in the layout, where a node of another shard has succeeded it", async () => {
    const { stack, successor } = await succeeded({ ...SHAPE, replicas: 2 });
    const [a] = await shardsOf(stack);
    const guest = a?.replicas[0]?.name ?? "";
    stack.model.call(stack.node(guest), ["CLUSTER", "REPLICATE", stack.node(successor).id]);
    stack.model.settle();
    stack.model.call(stack.node(guest), ["CLUSTER", "FAILOVER"]);
    stack.model.settle();
    expect((await shardsOf(stack)).map((s) => s.leader?.name)).toEqual([a?.leader?.name, guest, expect.any(String)]);
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(10);
  });
});

describe("a shard that is led by a node planned in another one", () => {
  /** A replica of the second shard that has `zone` in its name follows the first shard's leader, or that of another, and takes over. */
  async function ledByGuest(shape: ModelShape, zone: string, shard = 0): Promise<{ stack: ModelStack; guest: string }> {
    const stack = await formed(shape);
    const shards = await shardsOf(stack);
    const [a, b] = [shards[shard], shards[1]];
    const guest = b?.replicas.find((n) => n.name.includes(zone))?.name ?? "";
    stack.model.call(stack.node(guest), ["CLUSTER", "REPLICATE", a?.leader?.id ?? ""]);
    stack.model.settle();
    stack.model.call(stack.node(guest), ["CLUSTER", "FAILOVER"]);
    stack.model.settle();
    return { stack, guest };
  }

  async function expectHome(stack: ModelStack, guest: string): Promise<void> {
    const [again, home] = await shardsOf(stack);
    expect(again?.planned.nodes.map((n) => n.name)).toContain(again?.leader?.name);
    expect(home?.replicas.map((n) => n.name)).toContain(guest);
    expect(keysOf(stack)).toBe(9);
  }

  test.each([1, 2])("with %i replicas: is led by its own again, and the guest goes home", async (replicas) => {
    const { stack, guest } = await ledByGuest({ ...SHAPE, replicas }, "zone");
    expect(await stack.converge()).toEqual(DONE);
    await expectHome(stack, guest);
  });

  test("also where its own shard is in one zone alone meanwhile", async () => {
    // The second shard has two nodes in zone-b, and this one.
    const { stack, guest } = await ledByGuest({ masters: 3, replicas: 2, zones: 2 }, "zone-a");
    expect(await stack.converge()).toEqual(DONE);
    await expectHome(stack, guest);
  });

  test("where that shard is no longer declared: its slots move to those that stay", async () => {
    const { stack, guest } = await ledByGuest({ ...SHAPE, masters: 4 }, "zone", 3);
    const home = (await shardsOf(stack))[1]?.leader?.name;
    stack.declare(SHAPE);
    expect((await shardsOf(stack))[1]?.leader?.name).toBe(home);
    expect(await stack.converge()).toEqual(DONE);
    const [, again] = await shardsOf(stack);
    expect([again?.leader?.name, again?.replicas.map((n) => n.name)]).toEqual([home, [guest]]);
    expect(keysOf(stack)).toBe(12);
  });

  test("before slots move, since that may take hours and the guest's shard lacks a copy meanwhile", async () => {
    const { stack, guest } = await ledByGuest(SHAPE, "zone");
    stack.declare({ ...SHAPE, masters: 4 });
    let next: Plan;
    do {
      const look = await stack.look();
      next = look.next;
      if (next.kind === "act" && next.phase === "move") break;
      await stack.carryOut(next, look.observation);
      stack.model.settle();
    } while (next.kind === "act");
    expect(next).toMatchObject({ kind: "act", phase: "move" });
    await expectHome(stack, guest);
  });
});

describe("a scale-out that was killed midway and taken back in the declaration", () => {
  async function takenBack(): Promise<ModelStack> {
    const stack = await formed();
    const { members } = stack;
    stack.declare({ ...SHAPE, masters: 4 });
    for (let round = 0; round < 3; round++) {
      const { next, observation } = await stack.look();
      await stack.carryOut(next, observation);
      stack.model.settle();
    }
    // Killed: nothing that it learned was recorded.
    stack.members = members;
    stack.declare(SHAPE);
    return stack;
  }

  test("is taken back: the machines of the stack tell whose the new nodes are", async () => {
    const stack = await takenBack();
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(9);
    expect(stack.model.nodes.map((n) => n.known.size).sort()).toEqual([1, 1, 6, 6, 6, 6, 6, 6]);
  });

  test("is refused where they are not known, and what the refusal says helps", async () => {
    const stack = await takenBack();
    stack.forgetsMachines = true;
    const { next } = await stack.look();
    expect(next).toMatchObject({ kind: "refuse", refusals: [{ kind: "foreign-node" }, { kind: "foreign-node" }] });
    expect(JSON.stringify(next)).toContain("declare it again, let `up` end, and take it back then");
    stack.declare({ ...SHAPE, masters: 4 });
    expect(await stack.converge()).toEqual(DONE);
    stack.declare(SHAPE);
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(9);
  });

  test("is taken back by a run that follows one which was killed among its last commands: resetting and forgetting", async () => {
    const first = await takenBack();
    const { members } = first;
    const every = process.env.FULL ? 1 : 3;
    for (let killAfter = 1, over = false; !over; killAfter += every) {
      const stack = killAfter === 1 ? first : await takenBack();
      for (let steps = 0; !over && steps < killAfter; ) {
        const { next, observation } = await stack.look();
        const before = steps;
        if (next.kind === "act" && next.phase === "retire") steps += next.steps.length;
        over = next.kind === "done";
        await stack.carryOut(next, observation, (step) => before + step < killAfter || steps === before);
        // Others have noticed since, or not.
        if (steps < killAfter || killAfter % 2 === 0) stack.model.settle();
      }
      stack.members = members;
      const known = async () => stack.model.nodes.map((n) => n.known.size).sort();
      expect([killAfter, await stack.converge(), keysOf(stack), await known()]).toEqual([
        killAfter,
        ...[DONE, 9, [1, 1, 6, 6, 6, 6, 6, 6]],
      ]);
      if (over) expect(killAfter).toBeGreaterThan(10);
    }
  }, 120_000);

  test("is refused while one of the new nodes is silent, for that alone", async () => {
    const stack = await takenBack();
    const [gone = ""] = stack.names.slice(6);
    stack.node(gone).running = false;
    const { next } = await stack.look();
    expect(next).toMatchObject({ kind: "refuse", refusals: [{ kind: "silent-node", subject: gone }] });
    stack.declare({ ...SHAPE, masters: 4 });
    expect((await stack.look()).next).toMatchObject({ refusals: [{ kind: "silent-node", subject: gone }] });
  });

  test("is taken back with the keys that it has already got, though all others were made to forget it", async () => {
    const stack = await takenBack();
    const newcomers = stack.names.slice(6).map((name) => stack.node(name));
    for (const { id } of newcomers)
      for (const other of stack.model.nodes)
        if (!newcomers.includes(other)) stack.model.call(other, ["CLUSTER", "FORGET", id]);
    stack.model.settle();
    expect(newcomers.flatMap((node) => node.owned).length).toBeGreaterThan(0);
    for (const node of newcomers) for (const slot of node.owned.slice(0, 3)) node.keysIn(slot).add(`here ${slot}`);
    stack.model.replicate();
    const keys = keysOf(stack);
    expect(await stack.converge()).toEqual(DONE);
    expect(keysOf(stack)).toBe(keys);
    expect(stack.model.nodes.map((n) => n.known.size).sort()).toEqual([1, 1, 6, 6, 6, 6, 6, 6]);
  });

  test("a machine of the stack that never joined is left alone", async () => {
    const stack = await formed();
    stack.declare({ ...SHAPE, masters: 4 });
    stack.declare(SHAPE);
    expect(await stack.converge()).toEqual(DONE);
    expect(stack.model.nodes.filter((n) => n.known.size === 1)).toHaveLength(2);
  });
});
