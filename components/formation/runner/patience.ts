/** Waits as long as what is said keeps changing, and for a given time after it stopped. */
export class Patience {
  readonly #milliseconds: number;
  #said = "";
  #since = Date.now();

  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
  }

  isOver(saying: string): boolean {
    if (saying !== this.#said) {
      this.#said = saying;
      this.#since = Date.now();
    }
    return Date.now() - this.#since >= this.#milliseconds;
  }
}
