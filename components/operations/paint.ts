/** Colours of a terminal, or none. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
  /** One of several, to tell neighbours apart. */
  readonly tint: (text: string, index: number) => string;
}

const ESCAPE = "\u001b[";
const sgr = (code: number) => (text: string) => (text === "" ? "" : `${ESCAPE}${code}m${text}${ESCAPE}0m`);

/** Blue, cyan, magenta: green, yellow and red are kept for what they mean. */
const TINTS = [34, 36, 35];

export const coloured: Paint = {
  good: sgr(32),
  bad: sgr(31),
  warn: sgr(33),
  dim: sgr(2),
  bold: sgr(1),
  tint: (text, index) => sgr(TINTS[index % TINTS.length] ?? 36)(text),
};

const same = (text: string) => text;
export const plain: Paint = { good: same, bad: same, warn: same, dim: same, bold: same, tint: same };

/** `1.6 MB`; three digits are enough to compare by eye. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `1,234,567`, the same in every locale. */
export function formatCount(number: number): string {
  return String(number).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}
