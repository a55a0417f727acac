import fc from "fast-check";
import { expect, test } from "vitest";
import {
  countSlots,
  expandSlots,
  formatRanges,
  mergeRanges,
  SLOT_COUNT,
  sameRanges,
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

test("written as CLUSTER NODES writes them", () => {
  expect(
    formatRanges([
      { start: 0, end: 5460 },
      { start: 7000, end: 7000 },
    ]),
  ).toBe("0-5460 7000");
  expect(formatRanges([])).toBe("");
});
