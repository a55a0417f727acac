/**
 * The order in which a block of shards (one for each zone) fills the zones. Row i is a shard, column k its node k
 * (column 0 leads first), the entry is a zone.
 *
 * Three rules at once make placement even *and* stable, because taking fewer shards is taking fewer rows, and taking
 * fewer replicas is taking fewer columns:
 *  - a row holds each zone once (the nodes of a shard are apart),
 *  - a column holds each zone once (the masters are even),
 *  - every top-left rectangle holds each zone equally often, give or take one (all nodes are even at every size).
 *
 * A plain rotation keeps the first two and breaks the third: two shards of two nodes on four zones would put two nodes
 * in one zone and none in another. Such squares exist for 1 to 11 zones; the one used is the first in lexicographic
 * order, so it is defined by mathematics and not by the search below.
 */
export function zoneSquare(zones: number): readonly (readonly number[])[] {
  const known = cache.get(zones);
  if (known) return known;
  const square = zones <= LARGEST_BALANCED ? balancedSquare(zones) : zones === 12 ? TWELVE : spreadSquare(zones);
  cache.set(zones, square);
  return square;
}

/** Up to this many zones all three rules hold for every shape; beyond, the third gives way. */
export const LARGEST_BALANCED = 11;

/**
 * Twelve zones have no balanced square: a constraint solver shows that four columns are already impossible. This one,
 * found by it, is balanced in its first three columns (two replicas) and within two beyond.
 */
const TWELVE = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  [10, 8, 7, 6, 9, 11, 1, 2, 3, 0, 5, 4],
  [5, 11, 4, 2, 0, 7, 3, 9, 10, 6, 8, 1],
  [3, 9, 6, 11, 8, 10, 0, 1, 5, 4, 7, 2],
  [7, 4, 10, 1, 5, 2, 9, 8, 11, 3, 6, 0],
  [6, 2, 9, 7, 3, 4, 8, 11, 0, 10, 1, 5],
  [11, 5, 0, 8, 10, 1, 4, 6, 2, 7, 3, 9],
  [8, 3, 1, 5, 7, 9, 10, 0, 4, 2, 11, 6],
  [2, 0, 11, 4, 1, 6, 5, 3, 7, 8, 9, 10],
  [9, 6, 3, 10, 11, 8, 2, 4, 1, 5, 0, 7],
  [1, 10, 8, 9, 2, 0, 7, 5, 6, 11, 4, 3],
  [4, 7, 5, 0, 6, 3, 11, 10, 9, 1, 2, 8],
];

const cache = new Map<number, readonly (readonly number[])[]>();

/** Backtracking, entry by entry; at most some ten thousand steps for the sizes it is used for. */
function balancedSquare(size: number): number[][] {
  const square: number[][] = Array.from({ length: size }, () => []);
  const usedInColumn: boolean[][] = Array.from({ length: size }, () => []);
  // counts[i][k][zone]: how often the zone occurs in the first i rows and k columns.
  const counts: number[][][] = Array.from({ length: size + 1 }, () =>
    Array.from({ length: size + 1 }, () => new Array<number>(size).fill(0)),
  );

  const fits = (row: number, column: number, zone: number): boolean => {
    const cells = (row + 1) * (column + 1);
    const [least, most] = [Math.floor(cells / size), Math.ceil(cells / size)];
    const above = counts[row]?.[column + 1] ?? [];
    const left = counts[row + 1]?.[column] ?? [];
    const both = counts[row]?.[column] ?? [];
    const here = counts[row + 1]?.[column + 1] ?? [];
    for (let z = 0; z < size; z++) {
      const count = (above[z] ?? 0) + (left[z] ?? 0) - (both[z] ?? 0) + (z === zone ? 1 : 0);
      if (count < least || count > most) return false;
      here[z] = count;
    }
    return true;
  };

  const fill = (cell: number): boolean => {
    if (cell === size * size) return true;
    const row = Math.floor(cell / size);
    const column = cell % size;
    const entries = square[row] ?? [];
    const used = usedInColumn[column] ?? [];
    for (let zone = 0; zone < size; zone++) {
      if (used[zone] || entries.includes(zone) || !fits(row, column, zone)) continue;
      entries.push(zone);
      used[zone] = true;
      if (fill(cell + 1)) return true;
      entries.pop();
      used[zone] = false;
    }
    return false;
  };

  fill(0);
  return square;
}

/**
 * For 13 zones and more: rows are rotations, started where the golden ratio spreads them best. Rows and columns stay
 * exact; the nodes of an incomplete block may differ by two between zones (by three with more than five replicas).
 */
function spreadSquare(size: number): number[][] {
  const golden = (Math.sqrt(5) - 1) / 2;
  const fractions = Array.from({ length: size }, (_, row) => (row * golden) % 1);
  const rank = fractions.map((fraction) => fractions.filter((other) => other < fraction).length);
  return rank.map((start) => Array.from({ length: size }, (_, column) => (start + column) % size));
}
