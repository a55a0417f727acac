import type { Cluster } from "ioredis";
import type { ChangingCluster } from "./support";

export interface LoadOptions {
  readonly clients?: number;
  readonly fields?: number;
}

export interface LoadReport {
  readonly operations: number;
  readonly errors: readonly string[];
  readonly wrong: readonly string[];
  readonly longestMilliseconds: number;
}

const TTL_MILLISECONDS = 3_600_000;
const TAGS = 300;

/**
 * Reads and writes without a pause through several ordinary clients, each with keys of its own: single keys, several of one
 * hash tag at once, transactions, keys with a time to live, one hash with many fields. Every acknowledged write is
 * remembered; every read is compared with it, and all of them again at the end.
 */
export class CheckedLoad {
  readonly #clients: Cluster[];
  readonly #values = new Map<string, string>();
  readonly #fields = new Map<string, Map<string, string>>();
  readonly #errors: string[] = [];
  readonly #wrong: string[] = [];
  #longest = 0;
  #operations = 0;
  #ended = false;
  #loops: Promise<void>[] = [];

  private constructor(cluster: ChangingCluster, { clients = 3 }: LoadOptions) {
    this.#clients = Array.from({ length: clients }, () => cluster.client());
  }

  static async start(cluster: ChangingCluster, options: LoadOptions = {}): Promise<CheckedLoad> {
    const load = new CheckedLoad(cluster, options);
    await load.#fill(options.fields ?? 2_000);
    load.#loops = load.#clients.map((client, c) => load.#loop(client, c));
    return load;
  }

  /** The longest wait since this was asked last. */
  takeLongest(): number {
    const longest = this.#longest;
    this.#longest = 0;
    return Math.round(longest);
  }

  get operations(): number {
    return this.#operations;
  }

  /** Ends the load, and reads every key and field once more. */
  async end(): Promise<LoadReport> {
    this.#ended = true;
    await Promise.all(this.#loops);
    const [reader] = this.#clients;
    if (!reader) throw new Error("there is no client");
    const longestMilliseconds = Math.round(this.#longest);
    for (const [key, value] of this.#values) {
      this.#compare(key, await reader.get(key), value);
      if (key.endsWith(":ttl")) {
        const left = await reader.pttl(key);
        if (left <= 0 || left > TTL_MILLISECONDS) this.#wrong.push(`${key} lives for ${left} ms`);
      }
    }
    for (const [key, fields] of this.#fields) {
      const all = await reader.hgetall(key);
      if (Object.keys(all).length !== fields.size)
        this.#wrong.push(`${key} has ${Object.keys(all).length} fields of ${fields.size}`);
      for (const [field, value] of fields) this.#compare(`${key} ${field}`, all[field] ?? null, value);
    }
    for (const client of this.#clients) client.disconnect();
    return { operations: this.#operations, errors: this.#errors, wrong: this.#wrong, longestMilliseconds };
  }

  async #fill(fields: number): Promise<void> {
    await Promise.all(
      this.#clients.map(async (client, c) => {
        const known = new Map<string, string>();
        this.#fields.set(`c${c}:hash`, known);
        for (let at = 0; at < fields; at += 1_000) {
          const part = Array.from(
            { length: Math.min(1_000, fields - at) },
            (_, i) => [`f${at + i}`, `v${at + i}`] as const,
          );
          await client.hset(`c${c}:hash`, ...part.flat());
          for (const [field, value] of part) known.set(field, value);
        }
      }),
    );
  }

  async #loop(client: Cluster, c: number): Promise<void> {
    for (let n = 0; !this.#ended; n++) {
      const tag = `{c${c}:${n % TAGS}}`;
      const value = `${c}:${n}`;
      await this.#timed(async () => {
        switch (n % 6) {
          case 0:
            await client.set(`${tag}:single`, value);
            this.#values.set(`${tag}:single`, value);
            break;
          case 1:
            await client.mset(`${tag}:a`, value, `${tag}:b`, value);
            this.#values.set(`${tag}:a`, value).set(`${tag}:b`, value);
            break;
          case 2: {
            const done = await client.multi().set(`${tag}:x`, value).set(`${tag}:y`, value).get(`${tag}:x`).exec();
            const failure = done?.find(([error]) => error)?.[0];
            if (failure) throw failure;
            this.#compare(`${tag}:x in its transaction`, String(done?.[2]?.[1]), value);
            this.#values.set(`${tag}:x`, value).set(`${tag}:y`, value);
            break;
          }
          case 3:
            await client.set(`${tag}:ttl`, value, "PX", TTL_MILLISECONDS);
            this.#values.set(`${tag}:ttl`, value);
            break;
          case 4: {
            const field = `f${n % (this.#fields.get(`c${c}:hash`)?.size ?? 1)}`;
            await client.hset(`c${c}:hash`, field, value);
            this.#fields.get(`c${c}:hash`)?.set(field, value);
            break;
          }
          default: {
            // What an earlier turn wrote, of both kinds.
            const before = `{c${c}:${(n * 7) % TAGS}}`;
            const keys = [`${before}:a`, `${before}:b`, `${before}:x`];
            const got = await client.mget(...keys);
            for (const [i, key] of keys.entries()) this.#compare(key, got[i] ?? null, this.#values.get(key) ?? null);
          }
        }
      });
      // Room for formation, which runs in this process too.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async #timed(operation: () => Promise<void>): Promise<void> {
    const began = performance.now();
    try {
      await operation();
    } catch (error) {
      this.#errors.push(error instanceof Error ? error.message : String(error));
    }
    this.#longest = Math.max(this.#longest, performance.now() - began);
    this.#operations++;
  }

  #compare(what: string, is: string | null, expected: string | null): void {
    if (is !== expected) this.#wrong.push(`${what} is ${JSON.stringify(is)}, written ${JSON.stringify(expected)}`);
  }
}
