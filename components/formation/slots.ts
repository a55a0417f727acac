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

/**
 * The slots that so many of the lists hold, as the shortest list of ranges. Works on the ends of ranges alone: sixty views
 * are looked at many times a second.
 */
export function slotsHeld(lists: Iterable<readonly SlotRange[]>, passes: (holders: number) => boolean): SlotRange[] {
  const changes = new Map<number, number>([[0, 0]]);
  const change = (slot: number, by: number) => changes.set(slot, (changes.get(slot) ?? 0) + by);
  for (const ranges of lists) {
    for (const { start, end } of ranges) {
      change(start, 1);
      change(end + 1, -1);
    }
  }
  const edges = [...changes.keys()].filter((slot) => slot < SLOT_COUNT).sort((a, b) => a - b);
  const found: SlotRange[] = [];
  let holders = 0;
  for (const [i, start] of edges.entries()) {
    holders += changes.get(start) ?? 0;
    if (passes(holders)) found.push({ start, end: (edges[i + 1] ?? SLOT_COUNT) - 1 });
  }
  return mergeRanges(found);
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

/** `slot 5`, or `3 slots, 5-7`: in the middle of a sentence. */
export function nameSlots(ranges: readonly SlotRange[]): string {
  const slots = countSlots(ranges);
  return slots === 1 ? `slot ${formatRanges(ranges)}` : `${slots} slots, ${formatRanges(ranges)}`;
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
