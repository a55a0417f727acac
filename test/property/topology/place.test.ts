import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { listMoves, place } from "../../../components/topology/place";
import type { TopologyPlan } from "../../../components/topology/plan";
import { specOf } from "../../unit/topology/support";
import { masterZones, nodeZones, seed, shardZones, spread } from "./support";

const RUNS = 2000;
const shape = fc.record({
  masters: fc.oneof(fc.integer({ min: 3, max: 12 }), fc.integer({ min: 3, max: 200 })),
  replicas: fc.integer({ min: 0, max: 5 }),
  zones: fc.integer({ min: 1, max: 12 }),
});

function holds(
  property: (plan: TopologyPlan, of: { masters: number; replicas: number; zones: number }) => void,
  runs = RUNS,
): void {
  fc.assert(
    fc.property(shape, (of) => property(place(specOf(of.masters, of.replicas, of.zones)), of)),
    { seed, numRuns: runs },
  );
}

describe(`placement of any shape (seed ${seed}, ${RUNS} runs each)`, { timeout: 60_000 }, () => {
  test("a shard's nodes are in as many zones as possible, evenly, so no replica sits with its master needlessly", () => {
    holds((plan, { replicas, zones }) => {
      for (const shard of plan.shards) {
        expect(new Set(shardZones(shard)).size).toBe(Math.min(replicas + 1, zones));
        expect(spread(plan.zones, shardZones(shard)).width).toBeLessThanOrEqual(1);
      }
    });
  });

  test("no zone holds half of the masters or more where the shape allows it", () => {
    holds((plan, { masters, zones }) => {
      const { most } = spread(plan.zones, masterZones(plan));
      const possible = Math.ceil(masters / zones) * 2 < masters;
      expect(most * 2 < masters).toBe(possible);
      expect(plan.promises.mastersKeepMajority).toBe(possible);
    });
  });

  test("masters are even over zones, and so are all nodes", () => {
    holds((plan, { replicas, zones }) => {
      expect(spread(plan.zones, masterZones(plan)).width).toBeLessThanOrEqual(1);
      // On twelve zones with three replicas and more, the evenness of all nodes gives way to stability.
      expect(spread(plan.zones, nodeZones(plan)).width).toBeLessThanOrEqual(zones === 12 && replicas > 2 ? 2 : 1);
    });
  });

  test("fewer masters and fewer replicas are placed as a part of more, leaders included", () => {
    fc.assert(
      fc.property(shape, fc.integer({ min: 3, max: 200 }), fc.integer({ min: 0, max: 5 }), (big, m, r) => {
        const masters = Math.min(m, big.masters);
        const replicas = Math.min(r, big.replicas);
        const small = place(specOf(masters, replicas, big.zones));
        const large = place(specOf(big.masters, big.replicas, big.zones));
        const cut = large.shards.slice(0, masters).map(({ nodes }) => nodes.slice(0, replicas + 1));
        expect(small.shards.map(({ nodes }) => nodes)).toEqual(cut);
        expect(listMoves(small, large).removed).toEqual([]);
      }),
      { seed, numRuns: RUNS },
    );
  });

  test("slots are covered once, in order, with at most one more in one shard than in another", () => {
    holds((plan) => {
      const ranges = plan.shards.flatMap(({ slots }) => slots);
      let next = 0;
      for (const { start, end } of ranges) {
        expect(start).toBe(next);
        next = end + 1;
      }
      expect(next).toBe(16384);
      const sizes = ranges.map(({ start, end }) => end - start + 1);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }, 500);
  });

  test("node names are unique, and name their shard and zone", () => {
    holds((plan) => {
      const nodes = plan.shards.flatMap((shard, index) => shard.nodes.map((node) => ({ ...node, index })));
      expect(new Set(nodes.map(({ name }) => name)).size).toBe(nodes.length);
      for (const { name, zone, shard, index } of nodes) {
        expect(shard).toBe(`shard-${index}`);
        expect(name).toMatch(new RegExp(`^sessions-${index}-${zone}(-[2-9])?$`));
      }
    }, 1000);
  });

  test("a lost zone's work is shared: its masters' first replicas are spread over the other zones", () => {
    holds((plan, { masters, replicas, zones }) => {
      if (replicas === 0 || zones < 3) return;
      const counts = new Map<string, number>();
      for (const { nodes } of plan.shards) {
        const pair = `${nodes[0]?.zone} → ${nodes[1]?.zone}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
      const ideal = Math.ceil(Math.ceil(masters / zones) / (zones - 1));
      expect(Math.max(...counts.values())).toBeLessThanOrEqual(ideal + 1);
    });
  });

  test("the plan for the same declaration is the same, whatever was placed before", () => {
    holds((plan, { masters, replicas, zones }) => {
      expect(JSON.stringify(place(specOf(masters, replicas, zones)))).toBe(JSON.stringify(plan));
    }, 200);
  });
});

describe("moves", () => {
  test("of any change: what is kept was there, nothing is both, and adding to what stays gives the new plan", () => {
    fc.assert(
      fc.property(shape, shape, (a, b) => {
        const before = place(specOf(a.masters, a.replicas, a.zones));
        const after = place(specOf(b.masters, b.replicas, b.zones));
        const moves = listMoves(before, after);
        const names = (nodes: readonly { name: string }[]): string[] => nodes.map(({ name }) => name).sort();
        const all = (plan: TopologyPlan): string[] => names(plan.shards.flatMap(({ nodes }) => nodes));
        expect(names([...moves.kept, ...moves.removed])).toEqual(all(before));
        expect(names([...moves.kept, ...moves.added])).toEqual(all(after));
      }),
      { seed, numRuns: 500 },
    );
  });
});
