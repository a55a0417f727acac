export interface Benchmark {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  /** Prints a table while it goes and answers with the figures. */
  readonly run: (args: readonly string[]) => Promise<object>;
}

/** The options make no sense. */
export class BenchmarkUsage extends Error {}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export const round = (value: number, digits: number) => Number(value.toFixed(digits));
