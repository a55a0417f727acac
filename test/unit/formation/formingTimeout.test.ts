import { describe, expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import type { AnsweringNode } from "../../../components/formation/observation";
import { formingNodeTimeout, plan } from "../../../components/formation/plan";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

// Measured with 30 nodes on two busy cores: at 500 ms handshakes alone made nodes miss pings, and who misses one connects anew.
test.each([
  [6, false, 500],
  [30, false, 500],
  [60, false, 1_000],
  [6, true, 500],
  [30, true, 1_000],
  [60, true, 2_000],
])("%i nodes, TLS %s: %i ms while they form", (nodes, tls, milliseconds) => {
  expect(formingNodeTimeout(nodes, tls)).toBe(milliseconds);
});

describe("nodes that form a cluster, all of which answer", () => {
  /** Three masters with their planned slots that know each other. @param health of the second in the eyes of the others */
  function forming(health: NodeEntry["health"], timeout: string, verified = false) {
    const spec = specOf(3, 0, 3);
    const planned = place(spec);
    const entries = planned.shards.map(
      ({ slots }, i): NodeEntry => ({
        id: `${i}`.repeat(40),
        address: `127.0.${i + 1}.1`,
        port: 7_000 + i,
        busPort: 17_000 + i,
        role: "master",
        myself: false,
        health: i === 1 ? health : "ok",
        handshake: false,
        noaddr: false,
        configEpoch: i + 1,
        linked: true,
        slots,
        openSlots: [],
      }),
    );
    const nodes = entries.map((own, i): AnsweringNode => {
      const { address, port, busPort, id } = own;
      return {
        answering: true,
        name: planned.shards[i]?.nodes[0]?.name ?? "",
        endpoint: { address, port, busPort },
        id,
        server: { ...spec.engine, clusterEnabled: true },
        view: entries.map((e) => (e === own ? { ...e, myself: true, health: "ok" } : e)),
        state: "ok",
        currentEpoch: 3,
        keys: 0,
        memory: { usedBytes: 0, maxBytes: 0 },
        replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
        settings: { "cluster-node-timeout": timeout },
      };
    });
    const goal = {
      cluster: spec.name,
      engine: spec.engine,
      plan: planned,
      endpoints: Object.fromEntries(nodes.map((n) => [n.name, n.endpoint])),
      settings: { "cluster-node-timeout": "5000" },
      nodeTimeoutMilliseconds: 5_000,
    };
    const next = plan(goal, { members: [], verified }, { nodes });
    return next.kind === "act" ? next.steps.filter((s) => s.do === "setTemporary") : [];
  }

  test.each(["fail?", "fail"] as const)("ping less often where one is doubted (%s)", (health) => {
    expect(forming(health, "500").map((s) => "settings" in s && s.settings)).toEqual(
      Array(3).fill({ "cluster-node-timeout": "1500" }),
    );
  });

  test("and no less than that, nor where nobody is doubted, nor once the cluster serves", () => {
    expect(forming("fail?", "1500")).toEqual([]);
    expect(forming("ok", "500")).toEqual([]);
    expect(forming("fail?", "500", true)).toEqual([]);
  });
});
