export interface RedisPy {
  /** The interpreter. */
  readonly python: string;
  /** What its PYTHONPATH needs. */
  readonly folder: string;
  /** redis-py's own: "8.1.0". */
  readonly version: string;
}

/** Thrown where redis-py cannot be had; the message says what to do. */
export class NoRedisPy extends Error {}

export function ensureRedisPy(options?: { log?: (line: string) => void }): Promise<RedisPy>;
