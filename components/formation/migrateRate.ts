import { setTimeout } from "node:timers/promises";

/** Waiting is cut into pieces, so that whoever is to stop does not sleep through it. */
const LONGEST_NAP_MILLISECONDS = 100;

/**
 * A rate that all moves of a run share: whoever wants keys to go asks for its turn, and turns come one after the other, as far
 * apart as the keys before them take at this rate. Nothing is saved up while nobody asks.
 */
export class KeyRate {
  /** Keys a second; undefined is no limit. */
  readonly limit: number | undefined;
  readonly #now: () => number;
  #free = 0;

  constructor(limit?: number, now: () => number = () => performance.now()) {
    this.limit = limit;
    this.#now = now;
  }

  /** Takes the next turn, for so many keys. @returns how long to wait for it, in milliseconds */
  reserve(keys: number): number {
    if (this.limit === undefined || keys === 0) return 0;
    const now = this.#now();
    const turn = Math.max(now, this.#free);
    this.#free = turn + (keys / this.limit) * 1000;
    return turn - now;
  }

  /** Keys that had a turn and do not go after all. */
  giveBack(keys: number): void {
    if (this.limit !== undefined) this.#free -= (keys / this.limit) * 1000;
  }
}

/** @returns false where `mayGoOn` ended the waiting */
export async function waitWhile(milliseconds: number, mayGoOn: () => boolean): Promise<boolean> {
  for (const until = performance.now() + milliseconds; ; ) {
    if (!mayGoOn()) return false;
    const left = until - performance.now();
    if (left <= 0) return true;
    await setTimeout(Math.min(left, LONGEST_NAP_MILLISECONDS));
  }
}
