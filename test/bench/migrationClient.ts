import { parentPort, Worker, workerData } from "node:worker_threads";
import { Cluster } from "ioredis";
import type { Addresses } from "./observer";

const EVERY_MILLISECONDS = 1;

/** What one client saw: latencies in milliseconds. */
export interface ClientFigures {
  readonly operations: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly errors: number;
  /** Answers that were not the value that was written. */
  readonly wrong: number;
}

/** The value of key number `i`: 100 bytes that nobody else has. */
export const keyOf = (i: number) => `key:${i}`;
export const contentOf = (i: number) => `value:${i}:`.padEnd(100, "x");

/** An ordinary cluster client in a thread of its own: about 1,000 reads and writes a second, each checked. */
export class BenchClient {
  readonly #worker: Worker;

  constructor(seeds: readonly Addresses[], keys: number) {
    const addresses = seeds.map(({ address, port }) => ({ address, port }));
    this.#worker = new Worker(__filename, { workerData: { seeds: addresses, keys } });
  }

  ready(): Promise<void> {
    return this.#next();
  }

  /** Figures since they were asked for last. */
  async figures(): Promise<ClientFigures> {
    const answer = this.#next<ClientFigures>();
    this.#worker.postMessage("figures");
    return answer;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #next<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#worker.once("message", resolve);
      this.#worker.once("error", reject);
    });
  }
}

async function drive(seeds: readonly Addresses[], keys: number): Promise<void> {
  const client = new Cluster(seeds.map(({ address, port }) => ({ host: address, port })));
  let latencies: number[] = [];
  let errors = 0;
  let wrong = 0;
  client.on("error", () => {});
  await client.ping();
  parentPort?.on("message", () => {
    const sorted = latencies.sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
    parentPort?.postMessage({
      operations: sorted.length,
      p50: at(0.5),
      p99: at(0.99),
      max: at(1),
      errors,
      wrong,
    } satisfies ClientFigures);
    latencies = [];
    errors = 0;
    wrong = 0;
  });
  const one = async (i: number, write: boolean) => {
    const began = performance.now();
    try {
      const answer = write ? await client.set(keyOf(i), contentOf(i)) : await client.get(keyOf(i));
      latencies.push(performance.now() - began);
      if (answer !== (write ? "OK" : contentOf(i))) wrong++;
    } catch {
      errors++;
    }
  };
  for (let i = 0; i < 200; i++) await one(i, false);
  latencies = [];
  parentPort?.postMessage("ready");
  let sent = 0;
  const began = performance.now();
  setInterval(() => {
    // What a late timer missed is made up for, a little at a time.
    const due = Math.min(sent + 5, Math.floor((performance.now() - began) / EVERY_MILLISECONDS));
    for (; sent < due; sent++) void one(Math.floor(Math.random() * keys), sent % 5 === 0);
  }, EVERY_MILLISECONDS);
}

if (parentPort) {
  const { seeds, keys } = workerData as { seeds: readonly Addresses[]; keys: number };
  void drive(seeds, keys);
}
