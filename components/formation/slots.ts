import type { SlotRange } from "../topology/plan";

/** Hash slots of a cluster: 0 to 16383. */
export const SLOT_COUNT = 16384;

/** The ranges written out, ascending. */
export function expandSlots(ranges: readonly SlotRange[]): number[] {
  const slots: number[] = [];
  for (const { start, end } of ranges) for (let slot = start; slot <= end; slot++) slots.push(slot);
  return slots.sort((a, b) => a - b);
}

/** The shortest list of ranges that holds exactly these slots. */
export function toRanges(slots: Iterable<number>): SlotRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (const slot of [...new Set(slots)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last && last.end === slot - 1) last.end = slot;
    else ranges.push({ start: slot, end: slot });
  }
  return ranges;
}

/** How many of the lists hold each slot. Sixty views of 16,384 slots are looked at many times a second: no sets here. */
export function tally(lists: Iterable<readonly SlotRange[]>): Uint16Array {
  const counts = new Uint16Array(SLOT_COUNT);
  for (const ranges of lists) {
    for (const { start, end } of ranges)
      for (let slot = start; slot <= end; slot++) counts[slot] = (counts[slot] ?? 0) + 1;
  }
  return counts;
}

/** The slots whose count passes, as the shortest list of ranges. */
export function rangesWhere(counts: Uint16Array, passes: (count: number) => boolean): SlotRange[] {
  const ranges: SlotRange[] = [];
  let start = -1;
  for (let slot = 0; slot <= SLOT_COUNT; slot++) {
    const within = slot < SLOT_COUNT && passes(counts[slot] ?? 0);
    if (within && start < 0) start = slot;
    if (!within && start >= 0) {
      ranges.push({ start, end: slot - 1 });
      start = -1;
    }
  }
  return ranges;
}

/** The same slots as the shortest list of ranges, ascending; without writing them out, for views of many nodes. */
export function mergeRanges(ranges: readonly SlotRange[]): SlotRange[] {
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last && start <= last.end + 1) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}

export function countSlots(ranges: readonly SlotRange[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);
}

/** As CLUSTER NODES writes them: `0-5460`, `7`. */
export function formatRange({ start, end }: SlotRange): string {
  return start === end ? String(start) : `${start}-${end}`;
}

export function formatRanges(ranges: readonly SlotRange[]): string {
  return ranges.map(formatRange).join(" ");
}

export function sameRanges(a: readonly SlotRange[], b: readonly SlotRange[]): boolean {
  return formatRanges(mergeRanges(a)) === formatRanges(mergeRanges(b));
}
