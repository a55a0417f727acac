import { describe, expect, test } from "vitest";
import { LARGEST_BALANCED, zoneSquare } from "../../../components/topology/squares";

/** The most that two zones differ in any top-left rectangle of so many columns at most. */
function unevenness(square: readonly (readonly number[])[], columns: number): number {
  let worst = 0;
  for (let width = 1; width <= Math.min(columns, square.length); width++) {
    const counts = square.map(() => 0);
    for (const row of square) {
      for (const zone of row.slice(0, width)) counts[zone] = (counts[zone] ?? 0) + 1;
      worst = Math.max(worst, Math.max(...counts) - Math.min(...counts));
    }
  }
  return worst;
}

const sizes = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe("zone squares", () => {
  test.each(sizes(1, 40))("rows and columns of size %i hold every zone once", (size) => {
    const square = zoneSquare(size);
    const all = sizes(0, size - 1);
    const sorted = (zones: readonly number[]): number[] => [...zones].sort((a, b) => a - b);
    expect(square.map(sorted)).toEqual(square.map(() => all));
    expect(all.map((column) => sorted(square.map((row) => row[column] ?? -1)))).toEqual(all.map(() => all));
  });

  test.each(sizes(2, LARGEST_BALANCED))("every top-left rectangle of size %i is even", (size) => {
    expect(unevenness(zoneSquare(size), size)).toBe(1);
  });

  test("twelve zones are even for up to two replicas and within two beyond", () => {
    expect(unevenness(zoneSquare(12), 3)).toBe(1);
    expect(unevenness(zoneSquare(12), 12)).toBe(2);
  });

  test.each(sizes(13, 40))("%i zones stay within two for up to five replicas, within three beyond", (size) => {
    expect(unevenness(zoneSquare(size), 6)).toBeLessThanOrEqual(2);
    expect(unevenness(zoneSquare(size), size)).toBeLessThanOrEqual(3);
  });

  test("squares are identity: a changed one would move nodes of clusters that exist", () => {
    const pinned = [3, 4, 5, 6].map((size) =>
      zoneSquare(size)
        .map((row) => row.join(""))
        .join(" "),
    );
    expect(pinned).toEqual([
      "012 120 201",
      "0123 2301 1032 3210",
      "01234 23401 14023 30142 42310",
      "012345 345012 251403 403251 120534 534120",
    ]);
  });
});
