/** The folder of this repository. */
export const PROJECT: string;

/**
 * Runs a program for a bounded time, in a process group of its own: when the time has come, all of it ends.
 * @returns its exit code, or undefined where it took too long
 */
export function bounded(
  file: string,
  args: readonly string[],
  milliseconds: number,
  options?: { readonly stdio?: import("node:child_process").StdioOptions },
): Promise<number | undefined>;
