import { zoneSquare } from "./squares";

/**
 * For every shard the zones of its nodes, in the order in which they are added; zones as positions in the list.
 * The answer for fewer shards or fewer nodes is a part of the answer for more.
 *
 * A block of as many shards as there are zones follows one square. Every block renames the zones of its square, so that
 * the masters of one zone have their replicas in different other zones: when the zone goes, its work is shared.
 */
export function zoneOrders(shards: number, nodesPerShard: number, zones: number): number[][] {
  const square = zoneSquare(zones);
  const blocks = Math.ceil(shards / zones);
  const names = blockNames(blocks, zones, square);
  return Array.from({ length: shards }, (_, shard) => {
    const row = square[shard % zones] ?? [];
    const name = names[Math.floor(shard / zones)] ?? [];
    return Array.from({ length: nodesPerShard }, (_, node) => name[row[node % zones] ?? 0] ?? 0);
  });
}

/** The replicas whose zones are spread: further ones fill what is left, and little would be gained. */
const SPREAD_REPLICAS = 2;

/** One renaming of the zones for every block, each the best continuation of those before it. */
function blockNames(blocks: number, zones: number, square: readonly (readonly number[])[]): number[][] {
  const candidates = renamings(zones);
  const columns = Array.from({ length: Math.min(SPREAD_REPLICAS, zones - 1) }, (_, index) => index + 1);
  // For each replica: how often a master's zone and its replica's zone have met.
  const met = columns.map(() => new Array<number>(zones * zones).fill(0));
  const pairs = (name: readonly number[], column: number): number[] =>
    square.map((row) => (name[row[0] ?? 0] ?? 0) * zones + (name[row[column] ?? 0] ?? 0));
  // What the choice adds to the sum of squares, which is least where all pairs meet equally often.
  const cost = (name: readonly number[]): number[] =>
    columns.map((column, index) => pairs(name, column).reduce((sum, pair) => sum + (met[index]?.[pair] ?? 0), 0));

  return Array.from({ length: blocks }, () => {
    let best = candidates[0] ?? [];
    let least = cost(best);
    for (const name of candidates) {
      const costs = cost(name);
      // The first replica is the likeliest to take over; the second decides between equals.
      const difference = costs.map((value, index) => value - (least[index] ?? 0)).find((value) => value !== 0) ?? 0;
      if (difference < 0) [best, least] = [name, costs];
    }
    columns.forEach((column, index) => {
      const counts = met[index] ?? [];
      for (const pair of pairs(best, column)) counts[pair] = (counts[pair] ?? 0) + 1;
    });
    return best;
  });
}

/** Renamings to choose from, the identity first: all of them up to five zones, a regular family beyond. */
function renamings(zones: number): number[][] {
  if (zones <= 5) return permutations(zones);
  const found = new Map<string, number[]>();
  for (let factor = 1; factor <= zones; factor++) {
    for (let turn = 0; turn < zones; turn++) {
      const affine = Array.from({ length: zones }, (_, zone) => (zone * factor + turn) % zones);
      // The same modulo zones + 1, for where that is prime and `zones` is not.
      const power = Array.from(
        { length: zones },
        (_, zone) => ((((zone + 1) * factor) % (zones + 1)) - 1 + turn) % zones,
      );
      for (const name of [affine, power])
        if (new Set(name).size === zones && !name.includes(-1)) found.set(name.join(), name);
    }
  }
  return [...found.values()];
}

function permutations(size: number): number[][] {
  if (size === 0) return [[]];
  const all: number[][] = [];
  const extend = (prefix: number[]): void => {
    if (prefix.length === size) all.push(prefix);
    for (let next = 0; next < size; next++) if (!prefix.includes(next)) extend([...prefix, next]);
  };
  extend([]);
  return all;
}
