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
  return formatRanges(toRanges(expandSlots(a))) === formatRanges(toRanges(expandSlots(b)));
}
