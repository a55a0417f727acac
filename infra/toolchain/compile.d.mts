/** One run of the compiler: its config, the folder that it writes, and the files or folders that it reads. */
export interface Output {
  readonly config: string;
  readonly out: string;
  readonly sources: readonly string[];
}

export const OUTPUTS: readonly Output[];

/** The published package into dist/, and this repository's own programs into build/. */
export function compile(): Promise<void>;
