/** What a verb sees of the process: nothing else, so that tests can stand in for it. */
export interface Console {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
  readonly isTerminal: boolean;
  readonly width: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/** Exit codes of every verb that judges a cluster. */
export const EXIT = { healthy: 0, degraded: 1, unknown: 2 } as const;
