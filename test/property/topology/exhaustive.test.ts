import { describe, expect, test } from "vitest";
import { place } from "../../../components/topology/place";
import { specOf } from "../../unit/topology/support";
import { masterZones, nodeZones, shardZones, spread } from "./support";

/** What the rules' priorities allow at best, found by trying every placement, without knowing how `place` works. */
interface Optimum {
  /** The most nodes of one shard in one zone. */
  shardMost: number;
  /** The most masters in one zone, given that. */
  mastersMost: number;
  mastersWidth: number;
  /** The difference of all nodes between zones, given those. */
  nodesWidth: number;
}

/**
 * Dynamic programming over all placements: only the counts of masters and nodes in each zone matter for the rules, so
 * placements with equal counts are one state. Zones are alike, so counts are kept sorted as pairs.
 */
function optimum(masters: number, perShard: number, zones: number): Optimum {
  const shardMost = Math.ceil(perShard / zones);
  const choices = shardChoices(perShard, zones, shardMost);
  let states = new Map<string, number[]>([["", new Array<number>(zones * 2).fill(0)]]);
  for (let shard = 0; shard < masters; shard++) {
    const next = new Map<string, number[]>();
    for (const state of states.values()) {
      for (const { first, counts } of choices) {
        const pairs = Array.from({ length: zones }, (_, zone): [number, number] => [
          (state[zone * 2] ?? 0) + (zone === first ? 1 : 0),
          (state[zone * 2 + 1] ?? 0) + (counts[zone] ?? 0),
        ]);
        pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        const flat = pairs.flat();
        next.set(flat.join(), flat);
      }
    }
    states = next;
  }
  let best: Optimum | undefined;
  const rank = (o: Optimum): number => o.mastersMost * 1e6 + o.mastersWidth * 1e3 + o.nodesWidth;
  for (const state of states.values()) {
    const held = state.filter((_, index) => index % 2 === 0);
    const nodes = state.filter((_, index) => index % 2 === 1);
    const found = {
      shardMost,
      mastersMost: Math.max(...held),
      mastersWidth: Math.max(...held) - Math.min(...held),
      nodesWidth: Math.max(...nodes) - Math.min(...nodes),
    };
    if (!best || rank(found) < rank(best)) best = found;
  }
  if (!best) throw new Error("no placement at all");
  return best;
}

/** Every way to put one shard into the zones with at most `most` in one. */
function shardChoices(perShard: number, zones: number, most: number): { first: number; counts: number[] }[] {
  const all: number[][] = [];
  const extend = (counts: number[], left: number): void => {
    if (counts.length === zones) {
      if (left === 0) all.push(counts);
      return;
    }
    for (let here = 0; here <= Math.min(most, left); here++) extend([...counts, here], left - here);
  };
  extend([], perShard);
  return all.flatMap((counts) => counts.flatMap((count, first) => (count > 0 ? [{ first, counts }] : [])));
}

describe("every small shape is as good as the best of all placements", () => {
  const shapes: [number, number, number][] = [];
  for (let zones = 1; zones <= 5; zones++) {
    for (let replicas = 0; replicas <= 3; replicas++)
      for (let masters = 1; masters <= 7; masters++) shapes.push([masters, replicas, zones]);
  }

  test(`all ${shapes.length} shapes of up to 7 masters, 3 replicas and 5 zones`, () => {
    for (const [masters, replicas, zones] of shapes) {
      const plan = place(specOf(masters, replicas, zones));
      const reached: Optimum = {
        shardMost: Math.max(...plan.shards.map((shard) => spread(plan.zones, shardZones(shard)).most)),
        mastersMost: spread(plan.zones, masterZones(plan)).most,
        mastersWidth: spread(plan.zones, masterZones(plan)).width,
        nodesWidth: spread(plan.zones, nodeZones(plan)).width,
      };
      expect({ masters, replicas, zones, ...reached }).toEqual({
        masters,
        replicas,
        zones,
        ...optimum(masters, replicas + 1, zones),
      });
    }
  });
});
