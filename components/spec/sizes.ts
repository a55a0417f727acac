const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1000 ** 2,
  mb: 1024 ** 2,
  g: 1000 ** 3,
  gb: 1024 ** 3,
};

/** What a size may look like, for error messages. */
export const SIZE_SYNTAX = 'a whole number with a unit of Redis: "b", "k" (1000), "kb" (1024), "m", "mb", "g" or "gb"';

/**
 * Bytes of a size as Redis writes it (`memtoull` in its util.c): `"1k"` is 1000, `"1kb"` is 1024, `"42"` is bytes; case
 * does not matter. `undefined` where Redis would refuse it, and beyond 2^53, where bytes cannot be counted any more.
 */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)([a-z]*)$/i.exec(text);
  const unit = UNITS[match?.[2]?.toLowerCase() ?? "none"];
  if (!match || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The exact size in the largest binary unit that holds it whole: `1536mb`, `10gb`, `1000b` as `1000`. `parseSize` reads it back. */
export function formatSize(bytes: number): string {
  for (const unit of ["gb", "mb", "kb"]) {
    const size = UNITS[unit] ?? 1;
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

/** For a reader: rounded to one decimal in the largest binary unit that fits, `9.6gb`. */
export function describeSize(bytes: number): string {
  for (const unit of ["gb", "mb", "kb"]) {
    const size = UNITS[unit] ?? 1;
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))}${unit}`;
  }
  return `${bytes} bytes`;
}
