import { setTimeout } from "node:timers/promises";
import { Cluster } from "ioredis";
import { handleChanges, ioredisOptions } from "../../components/client";
import type { ClientLogin } from "../support/clients";
import { Ledger, type LossWindow } from "./ledger";
import { confirmedWrite, FIELDS_AT_ONCE, fieldName, Workload } from "./workload";

export interface Seed {
  readonly address: string;
  readonly port: number;
}

export interface LoadOptions {
  /** Clients that write and read without a pause, each on keys of its own. Default: 3. */
  readonly clients?: number;
  /** How clients log in. Default: not at all. */
  readonly login?: ClientLogin;
  /** Fields of each client's one large hash. Default: 2000. */
  readonly fields?: number;
  /** One client more, whose every write is confirmed by so many replicas (WAIT). Default: none. */
  readonly confirmedBy?: number;
  /** Rest of each client between two operations, in milliseconds. Default: 1. */
  readonly restMilliseconds?: number;
}

/** One planned step, as clients saw it. */
export interface StepReport {
  readonly step: string;
  readonly seconds: number;
  readonly operations: number;
  readonly longestPauseMilliseconds: number;
  /** How late timers of the clients' own process were at the worst: what the machine itself added to a pause. */
  readonly ownStallMilliseconds: number;
}

export interface LoadReport {
  readonly operations: number;
  readonly keys: number;
  readonly errors: readonly string[];
  readonly wrong: readonly string[];
  /** Acknowledged writes that were lost inside of a window that `allowLoss` named. */
  readonly lostInWindow: number;
  readonly steps: readonly StepReport[];
}

const OTHER_TIME = "between steps";

/**
 * The load of every test that changes a cluster: ordinary ioredis clients with the options that users are given
 * (`pulumi-redis-cluster/client`), which write and read without a pause. Every acknowledged write is remembered, every read
 * compared with what was written, and every key and field once more in an audit.
 */
export class CheckedLoad {
  readonly ledger = new Ledger();
  #clients: Cluster[];
  #confirming: Cluster | undefined;
  #seeds: readonly Seed[];
  readonly #workloads: Workload[];
  readonly #errors: string[] = [];
  readonly #steps: StepReport[] = [];
  readonly #options: LoadOptions;
  readonly #inFlight = new Map<object, number>();
  #step = OTHER_TIME;
  #stepBegan = Date.now();
  #stepOperations = 0;
  #longest = 0;
  #stall = 0;
  #operations = 0;
  #paused = false;
  #ended = false;
  #loops: Promise<void>[] = [];

  private constructor(seeds: readonly Seed[], options: LoadOptions) {
    this.#options = options;
    this.#seeds = seeds;
    this.#clients = Array.from({ length: options.clients ?? 3 }, () => openClient(seeds, options.login));
    this.#confirming = options.confirmedBy === undefined ? undefined : openClient(seeds, options.login);
    this.#workloads = this.#clients.map(
      (client, c) => new Workload(client, this.ledger, `c${c}`, options.fields ?? 2_000),
    );
  }

  static async start(seeds: readonly Seed[], options: LoadOptions = {}): Promise<CheckedLoad> {
    const load = new CheckedLoad(seeds, options);
    await Promise.all(load.#workloads.map((w) => w.fill()));
    load.#loops = [
      ...load.#workloads.map((w) => load.#loop(() => w.next())),
      ...(load.#confirming ? [load.#confirmingLoop(options.confirmedBy ?? 1)] : []),
      load.#watchOwnStalls(),
    ];
    return load;
  }

  get operations(): number {
    return this.#operations;
  }

  get errors(): readonly string[] {
    return this.#errors;
  }

  /** Reports what clients saw while `work` ran. */
  async during<T>(step: string, work: () => Promise<T>): Promise<T> {
    this.#beginStep(step);
    try {
      return await work();
    } finally {
      this.#beginStep(OTHER_TIME);
    }
  }

  /** As applications take another password: a client that has it does what comes next, and the one before ends what it has begun. */
  async changeLogin(login: ClientLogin, seeds: readonly Seed[] = this.#seeds): Promise<void> {
    this.#seeds = seeds;
    const former = [...this.#clients, ...(this.#confirming ? [this.#confirming] : [])];
    this.#clients = this.#clients.map(() => openClient(this.#seeds, login));
    if (this.#confirming) this.#confirming = openClient(this.#seeds, login);
    for (const [i, client] of this.#clients.entries()) this.#workloads[i]?.use(client);
    const begun = new Set(this.#inFlight.keys());
    while ([...begun].some((each) => this.#inFlight.has(each))) {
      await setTimeout(2);
      for (const each of begun) if (!this.#inFlight.has(each)) begun.delete(each);
    }
    await Promise.all(former.map((client) => client.quit()));
  }

  /** Acknowledged writes of this time may be lost, unless they were confirmed by WAIT. */
  allowLoss(window: LossWindow): void {
    this.ledger.allowLoss(window);
  }

  /** Every key and field is read and compared while nobody writes; then the load goes on. @returns what is wrong so far */
  async audit(): Promise<readonly string[]> {
    this.#paused = true;
    try {
      while (this.#inFlight.size > 0) await setTimeout(2);
      await this.#compareAll();
    } finally {
      this.#paused = false;
    }
    return this.ledger.wrong;
  }

  /** Ends the load, audits, and reports. */
  async end(): Promise<LoadReport> {
    this.#beginStep(OTHER_TIME);
    this.#ended = true;
    await Promise.all(this.#loops);
    await this.#compareAll();
    this.close();
    const { wrong, lostInWindow, size } = this.ledger;
    return {
      operations: this.#operations,
      keys: size,
      errors: [...this.#errors],
      wrong: [...wrong],
      lostInWindow,
      steps: this.#steps.filter(({ step }) => step !== OTHER_TIME),
    };
  }

  /** For a test that failed on the way: nothing goes on behind it. */
  close(): void {
    this.#ended = true;
    for (const client of [...this.#clients, ...(this.#confirming ? [this.#confirming] : [])]) client.disconnect();
  }

  #beginStep(step: string): void {
    const now = performance.now();
    // What is still waited for counts for the step that ends, and again for the next.
    for (const began of this.#inFlight.values()) this.#longest = Math.max(this.#longest, now - began);
    this.#steps.push({
      step: this.#step,
      seconds: Math.round((Date.now() - this.#stepBegan) / 100) / 10,
      operations: this.#stepOperations,
      longestPauseMilliseconds: Math.round(this.#longest),
      ownStallMilliseconds: Math.round(this.#stall),
    });
    this.#step = step;
    this.#stepBegan = Date.now();
    this.#stepOperations = 0;
    this.#longest = 0;
    this.#stall = 0;
  }

  async #loop(next: () => Promise<void>): Promise<void> {
    const self = {};
    while (!this.#ended) {
      // Room for others of this process; and time passes while an audit reads.
      await setTimeout(this.#options.restMilliseconds ?? 1);
      if (this.#paused || this.#ended) continue;
      const began = performance.now();
      this.#inFlight.set(self, began);
      try {
        await next();
      } catch (error) {
        if (this.#ended) return;
        this.#errors.push(`${this.#step}: ${describeError(error)}`);
      } finally {
        this.#inFlight.delete(self);
      }
      this.#longest = Math.max(this.#longest, performance.now() - began);
      this.#stepOperations++;
      this.#operations++;
    }
  }

  #confirmingLoop(replicas: number): Promise<void> {
    let n = 0;
    return this.#loop(async () => {
      const client = this.#confirming;
      if (!client) throw new Error("there is no client whose writes are confirmed");
      const at = n++;
      await confirmedWrite(client, this.ledger, `confirmed:${at % 500}`, `confirmed:${at}`, replicas);
    });
  }

  async #watchOwnStalls(): Promise<void> {
    const every = 10;
    while (!this.#ended) {
      const began = performance.now();
      await setTimeout(every);
      this.#stall = Math.max(this.#stall, performance.now() - began - every);
    }
  }

  async #compareAll(): Promise<void> {
    const [reader] = this.#clients;
    if (!reader) throw new Error("the load has no client");
    const keys = this.ledger.keys.filter((key) => !key.includes(" "));
    const ATONCE = 100;
    for (let at = 0; at < keys.length; at += ATONCE) {
      await Promise.all(
        keys.slice(at, at + ATONCE).map(async (key) => {
          const asked = Date.now();
          this.ledger.compare(key, await reader.get(key), asked);
        }),
      );
    }
    for (const { hash, fields } of this.#workloads) {
      const length = await reader.hlen(hash);
      if (length !== fields) this.ledger.wrong.push(`${hash} has ${length} fields of ${fields}`);
      for (let at = 0; at < fields; at += FIELDS_AT_ONCE) {
        const part = Array.from({ length: Math.min(FIELDS_AT_ONCE, fields - at) }, (_, i) => `f${at + i}`);
        const asked = Date.now();
        const got = await reader.hmget(hash, ...part);
        for (const [i, field] of part.entries()) this.ledger.compare(fieldName(hash, field), got[i] ?? null, asked);
      }
    }
  }
}

function openClient(seeds: readonly Seed[], login?: ClientLogin): Cluster {
  const nodes = seeds.map(({ address, port }) => ({ host: address, port }));
  const options = login ? { ...ioredisOptions, redisOptions: { ...login } } : ioredisOptions;
  const client = handleChanges(new Cluster(nodes, options));
  // Told to whoever waits for a command; without a listener ioredis prints it.
  client.on("error", () => {});
  return client;
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const reasons = (error as { previousErrors?: readonly Error[] }).previousErrors ?? [];
  return [error.message, ...reasons.map((e) => e.message)].join(" ← ");
}

/** One line for programs, one scenario each; errors and wrong keys as counts, since a test that finds any prints them itself. */
export function reportLine(scenario: string, { errors, wrong, ...report }: LoadReport): string {
  return JSON.stringify({ scenario, ...report, errors: errors.length, wrong: wrong.length });
}
