import { describe, expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import type { ClusterObservation } from "../../../components/formation/observation";
import { plan } from "../../../components/formation/plan";
import { ModelStack } from "../../support/model/formation";

const SHAPE = { masters: 3, replicas: 1, zones: 3 };

// Whoever was a master at a later epoch than its master's is not believed any more by a server that reads an old packet of it last.
describe("a node that is to follow", () => {
  test("begins at an earlier epoch than any master, and no two nodes at the same", async () => {
    const stack = new ModelStack(SHAPE);
    const { next } = await stack.look();
    const steps = next.kind === "act" ? next.steps : [];
    const epochs = new Map(steps.flatMap((s) => (s.do === "setConfigEpoch" ? [[s.node, s.epoch] as const] : [])));
    expect([...epochs.keys()].sort()).toEqual([...stack.names].sort());
    expect(new Set(epochs.values()).size).toBe(epochs.size);
    const leaders = stack.goal.plan.shards.map(({ nodes: [first] }) => first?.name ?? "");
    const earliest = Math.min(...leaders.map((name) => epochs.get(name) ?? 0));
    for (const name of stack.names) if (!leaders.includes(name)) expect(epochs.get(name)).toBeLessThan(earliest);
  });

  describe("and is taken for a master of a later epoch by one other node", () => {
    /** @param epoch of the second shard's replica in the eyes of the first one's leader */
    async function disbelieved(epoch: number) {
      const stack = new ModelStack(SHAPE);
      expect(await stack.converge()).toEqual({ kind: "done" });
      const [first, second] = stack.goal.plan.shards;
      const observer = first?.nodes[0]?.name ?? "";
      const [master = "", replica = ""] = second?.nodes.map(({ name }) => name) ?? [];
      const { observation } = await stack.look();
      const asMaster = ({ masterId: _master, ...entry }: NodeEntry): NodeEntry => ({
        ...entry,
        role: "master",
        configEpoch: epoch,
      });
      const seen: ClusterObservation = {
        nodes: observation.nodes.map((n) =>
          n.answering && n.name === observer
            ? { ...n, view: n.view.map((e) => change(stack, e, replica, asMaster)) }
            : n,
        ),
      };
      return { master, next: (insist: boolean) => plan(stack.goal, stack.history(), seen, { insist }) };
    }

    test("its master takes a later one, once nothing has moved for a while", async () => {
      const { master, next } = await disbelieved(50);
      expect(next(false).kind).toBe("wait");
      expect(next(true)).toMatchObject({ kind: "act", phase: "recover", steps: [{ do: "bumpEpoch", node: master }] });
    });

    test("of an earlier one it will be believed: that is waited for", async () => {
      expect((await disbelieved(1)).next(true)).toMatchObject({ kind: "wait" });
    });
  });
});

function change(stack: ModelStack, entry: NodeEntry, name: string, how: (entry: NodeEntry) => NodeEntry): NodeEntry {
  return entry.id === stack.node(name).id ? how(entry) : entry;
}
