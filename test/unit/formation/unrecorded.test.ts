import { expect, test } from "vitest";
import { membersOfThisLook, rememberMembers } from "../../../components/formation/members";
import { REDIS_7_0 } from "../../support/model/cluster";
import { ModelStack } from "../../support/model/formation";
import type { ModelNode } from "../../support/model/node";

/** A formed cluster, and a node that an operator joined by hand. */
async function withStranger(): Promise<{ stack: ModelStack; stranger: ModelNode }> {
  const stack = new ModelStack({ masters: 3, replicas: 1, zones: 3 }, REDIS_7_0);
  expect(await stack.converge()).toEqual({ kind: "done" });
  const stranger = stack.model.add({ address: "10.9.9.9", port: 6_379, busPort: 16_379 }, {});
  const [one] = stack.model.nodes;
  stack.model.call(one as ModelNode, ["CLUSTER", "MEET", "10.9.9.9", 6_379, 16_379]);
  stack.model.settle();
  return { stack, stranger };
}

/** Names of those that count as ours without being recorded, and what the next step is. */
async function look(stack: ModelStack, given = false) {
  const observation = await stack.observe();
  const goal = given ? { ...stack.goal, given: {} } : stack.goal;
  const remembered = rememberMembers(goal, stack.members, observation);
  const inferred = membersOfThisLook(goal, remembered, observation).slice(remembered.length);
  return {
    inferred: inferred.map(({ name, state }) => `${name}: ${state}`),
    observation,
    next: (await stack.look()).next,
  };
}

/** As in the views of all others. */
const entriesOf = (stack: ModelStack, { id }: ModelNode) =>
  stack.model.nodes.filter((n) => n.id !== id).map((n) => n.known.get(id));

test("a node with an address of its own is somebody else's", async () => {
  const { stack } = await withStranger();
  const { inferred, next } = await look(stack);
  expect(inferred).toEqual([]);
  expect(next).toMatchObject({ kind: "refuse", refusals: [{ kind: "foreign-node" }] });
});

test("an ID without an address is of a node that left: forgotten, and never remembered", async () => {
  const { stack, stranger } = await withStranger();
  for (const entry of entriesOf(stack, stranger)) if (entry) entry.noaddr = true;
  const { inferred, next } = await look(stack);
  expect(inferred).toEqual(["a node that left: stale"]);
  expect(next).toMatchObject({ kind: "act", phase: "retire", steps: Array(6).fill({ do: "forget", id: stranger.id }) });
  expect(stack.members.map((m) => m.id)).not.toContain(stranger.id);
  // It is back: what one look took it for binds no other.
  for (const entry of entriesOf(stack, stranger)) if (entry) entry.noaddr = false;
  expect(await look(stack)).toMatchObject({
    inferred: [],
    next: { kind: "refuse", refusals: [{ kind: "foreign-node" }] },
  });
});

test.each<[string, (stack: ModelStack, stranger: ModelNode) => void]>([
  [
    "while one node still lists an address",
    (stack, stranger) => {
      const [first] = entriesOf(stack, stranger);
      if (first) first.noaddr = false;
    },
  ],
  [
    "while it owns a slot in anybody's view",
    (stack, stranger) => {
      const [one] = stack.model.nodes;
      if (one) one.slots[0] = stranger.id;
    },
  ],
  [
    "while a node that stays follows it",
    (stack, stranger) => {
      const replica = stack.model.nodes.find((n) => n.self.role === "replica");
      if (replica) replica.self.masterId = stranger.id;
    },
  ],
])("it is not, %s", async (_how, alter) => {
  const { stack, stranger } = await withStranger();
  for (const entry of entriesOf(stack, stranger)) if (entry) entry.noaddr = true;
  alter(stack, stranger);
  const { inferred, next } = await look(stack);
  expect(inferred).toEqual([]);
  expect(JSON.stringify(next)).not.toContain('"forget"');
});

test("among given hosts, which no run adds, it is somebody else's whatever it looks like", async () => {
  const { stack, stranger } = await withStranger();
  for (const entry of entriesOf(stack, stranger)) if (entry) entry.noaddr = true;
  expect((await look(stack, true)).inferred).toEqual([]);
});
