/** Numbers that only depend on a seed (mulberry32); a run draws from its own, so that it can be replayed alone. */
export class Random {
  #state: number;

  constructor(seed: number, ...path: readonly number[]) {
    // Each part of the path is mixed in, or neighbouring runs would look alike.
    this.#state = path.reduce((state, part) => mix(state ^ mix(part + 0x9e37_79b9)), mix(seed));
  }

  /** At least 0, less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    return mix(this.#state) / 0x1_0000_0000;
  }

  /** Both ends included. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(this.next() * from.length)];
    if (found === undefined) throw new Error("there is nothing to pick from");
    return found;
  }

  shuffle<T>(from: readonly T[]): T[] {
    const left = [...from];
    return from.map(() => left.splice(Math.floor(this.next() * left.length), 1)[0] as T);
  }
}

function mix(value: number): number {
  let t = value | 0;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (t ^ (t >>> 14)) >>> 0;
}
