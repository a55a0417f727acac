import { expect, test } from "vitest";
import { diagnose } from "../../../components/formation/diagnose";
import type { AnsweringNode } from "../../../components/formation/observation";
import { answering, self } from "../../../components/formation/observation";
import { Connections } from "../../../components/formation/wire";
import { ModelStack } from "../../support/model/formation";

async function formed() {
  const stack = new ModelStack({ masters: 3, replicas: 1, zones: 3 });
  expect(await stack.converge()).toEqual({ kind: "done" });
  const nodes = answering(await stack.observe());
  const replicas = nodes.filter((n) => self(n).role === "replica");
  const [stray, deaf, moved] = replicas;
  if (!stray || !deaf || !moved) throw new Error("three replicas were declared");
  return { goal: stack.goal, nodes, stray, deaf, moved };
}

const withEntries = (node: AnsweringNode, change: (entry: AnsweringNode["view"][number]) => object): AnsweringNode => ({
  ...node,
  view: node.view.map((entry) => ({ ...entry, ...change(entry) })),
});

test("every cause that is seen is told: another address, keys without slots, a bus port", async () => {
  const { goal, nodes, stray, deaf, moved } = await formed();
  const seen = nodes.map((node) => {
    if (node.name === stray.name)
      return withEntries({ ...node, keys: 7 }, (e) => (e.myself ? { role: "master", masterId: undefined } : {}));
    if (node.name === deaf.name) return withEntries(node, (e) => (e.id === nodes[0]?.id ? { linked: false } : {}));
    return withEntries(node, (e) => (e.id === moved.id ? { port: 9_999 } : {}));
  });
  const causes = await diagnose(goal, { nodes: seen }, new Connections("test"));
  expect(causes).toEqual([
    expect.stringMatching(`^${moved.name} is at .*, and the cluster looks for it at 10\\.0\\.0\\.1:9999`),
    expect.stringMatching(`^${stray.name} holds 7 keys and owns no slot`),
    expect.stringMatching(`^${deaf.name} does not reach bus port \\d+ of ${nodes[0]?.name} `),
    expect.stringMatching("^where ports are open"),
  ]);
});

test("where nothing is seen, the logs may tell", async () => {
  const { goal, nodes } = await formed();
  expect(await diagnose(goal, { nodes }, new Connections("test"))).toEqual([
    expect.stringMatching(/^see the log of the nodes named above/),
  ]);
});
