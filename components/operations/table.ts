/** One cell: its text, and how to colour it once its width is settled. */
export interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

export interface Column<Row> {
  readonly title: string;
  /** Columns with the highest number go first where the terminal is too narrow; 0 stays. */
  readonly optional: number;
  readonly right?: boolean;
  readonly cell: (row: Row) => Cell;
}

const GAP = "  ";

/** Lines of a table no wider than `width`: first columns go, then the last one that is left is cut. */
export function drawTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  width: number,
  title: (text: string) => string,
): string[] {
  let shown = [...columns];
  const widthOf = (column: Column<Row>) =>
    Math.max(column.title.length, ...rows.map((row) => column.cell(row).text.length));
  // A column without a word in it tells nothing.
  shown = shown.filter((c) => c.optional === 0 || rows.some((row) => c.cell(row).text !== ""));
  const total = () => shown.reduce((sum, c) => sum + widthOf(c), 0) + GAP.length * (shown.length - 1);
  while (total() > width) {
    const least = shown.reduce((a, b) => (b.optional > a.optional ? b : a));
    if (least.optional === 0) break;
    shown = shown.filter((c) => c !== least);
  }
  const line = (cellOf: (column: Column<Row>) => Cell) => {
    let left = width;
    return shown
      .flatMap((column, index) => {
        const { text, paint = (t: string) => t } = cellOf(column);
        const padded = column.right ? text.padStart(widthOf(column)) : text.padEnd(widthOf(column));
        const gap = index === 0 ? "" : GAP;
        const last = index === shown.length - 1;
        const room = left - gap.length;
        if (room <= 0) return [];
        const cut = padded.length <= room ? (last ? padded.trimEnd() : padded) : `${padded.slice(0, room - 1)}…`;
        left -= gap.length + cut.length;
        return [gap + paint(cut)];
      })
      .join("")
      .trimEnd();
  };
  return [
    line((column) => ({ text: column.title, paint: title })),
    ...rows.map((row) => line((column) => column.cell(row))),
  ];
}
