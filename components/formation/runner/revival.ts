import { type Revived, reviveMachines } from "./knowledge";

/** What passes by itself passes within this; what lasts longer may be due to a machine that died. */
const PASSING_MILLISECONDS = 1_000;

/**
 * Machines that died may stand behind this one in the chain, while this one needs them before it can go on. So they are started
 * again as they were, before their turn; once a guard, since what dies again needs a person.
 */
export class Revival {
  readonly #cluster: string;
  readonly #began = Date.now();
  #tried = false;
  #failures: readonly string[] = [];

  constructor(cluster: string) {
    this.#cluster = cluster;
  }

  /** @returns those that were started, with where they are; mostly none */
  async attempt(): Promise<Revived["started"]> {
    if (this.#tried || Date.now() - this.#began < PASSING_MILLISECONDS) return [];
    this.#tried = true;
    const { started, failures } = await reviveMachines(this.#cluster);
    this.#failures = failures;
    if (started.length > 0) {
      const names = started.map(({ name }) => name).join(", ");
      console.log(`${this.#cluster}: did not run and started again as before, ahead of their turn: ${names}`);
    }
    return started;
  }

  /** For the end of an error; empty where everything runs. */
  get failures(): string {
    return this.#failures.map((failure) => ` ${failure}.`).join("");
  }
}
