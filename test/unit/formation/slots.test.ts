import fc from "fast-check";
import { expect, test } from "vitest";
import {
  countSlots,
  expandSlots,
  formatRanges,
  mergeRanges,
  SLOT_COUNT,
  sameRanges,
  slotsHeld,
  toRanges,
} from "../../../components/formation/slots";

const slots = fc.uniqueArray(fc.integer({ min: 0, max: SLOT_COUNT - 1 }), { maxLength: 60 });
const seed = Number(process.env.FC_SEED ?? 20_260_101);

test("ranges and slots are two ways to write the same set", () => {
  fc.assert(
    fc.property(slots, (some) => {
      const ranges = toRanges(some);
      const sorted = [...some].sort((a, b) => a - b);
      expect(expandSlots(ranges)).toEqual(sorted);
      expect(countSlots(ranges)).toBe(some.length);
      // Shortest: a gap between any two neighbours.
      for (const [i, range] of ranges.slice(1).entries())
        expect(range.start).toBeGreaterThan((ranges[i]?.end ?? 0) + 1);
      const singles = some.map((slot) => ({ start: slot, end: slot }));
      expect(mergeRanges([...singles, ...ranges])).toEqual(ranges);
      expect(sameRanges(singles, ranges)).toBe(true);
      expect(sameRanges(singles.slice(1), ranges)).toBe(some.length === 0);
    }),
    { seed },
  );
});

test("slots held by none, by one, by several are what counting each slot says", () => {
  fc.assert(
    fc.property(fc.array(slots, { maxLength: 5 }), (sets) => {
      const all = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);
      for (const passes of [(n: number) => n === 0, (n: number) => n === 1, (n: number) => n > 1])
        expect(slotsHeld(sets.map(toRanges), passes)).toEqual(
          toRanges(all.filter((slot) => passes(sets.filter((set) => set.includes(slot)).length))),
        );
    }),
    { seed, numRuns: 50 },
  );
  const everything = [{ start: 0, end: SLOT_COUNT - 1 }];
  expect(slotsHeld([], (n) => n === 0)).toEqual(everything);
  expect(slotsHeld([everything], (n) => n === 0)).toEqual([]);
  expect(slotsHeld([everything], (n) => n === 1)).toEqual(everything);
});

test("written as CLUSTER NODES writes them", () => {
  expect(
    formatRanges([
      { start: 0, end: 5460 },
      { start: 7000, end: 7000 },
    ]),
  ).toBe("0-5460 7000");
  expect(formatRanges([])).toBe("");
});
