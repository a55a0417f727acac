import { expect, test } from "vitest";
import { outlineChange } from "../../../components/formation/outline";
import { ModelStack } from "../../support/model/formation";

const QUIET = { unfinished: "", recorded: [], recordedAt: "" };

test("another engine while a node is dead: all nodes restart, and the dead one is started again first", async () => {
  const stack = new ModelStack({ masters: 3, replicas: 1, zones: 3 });
  expect(await stack.converge()).toEqual({ kind: "done" });
  const [dead = ""] = stack.names;
  stack.node(dead).running = false;
  stack.model.settle();
  const engine = { name: "redis", version: "7.2" } as const;
  const evidence = { ...QUIET, observation: await stack.observe() };
  const outline = (rolls: boolean) =>
    outlineChange(stack.goal, { ...stack.goal, engine }, stack.history(), { ...evidence, rolls }).join("\n");

  expect(outline(true)).toMatch(
    new RegExp(
      [
        `found: ${dead} at \\S+ does not answer`,
        "first: 6 nodes restart as redis 7.2, one after the other",
        "clients: each leader hands over to a replica in sync before it stops",
        "steps: the silent node first: `up` starts it again as before",
      ].join("[^]*"),
    ),
  );
  // Where nothing restarts, the update of the dead node's own resource starts it.
  expect(outline(false)).toContain("a resource that is to be updated below starts its server again");
});
