import { setTimeout } from "node:timers/promises";
import type { Cluster } from "ioredis";
import { transact } from "../../components/client";
import type { Ledger } from "./ledger";

/** Hash tags of one client; several keys of each, so that many slots are written and some of them often. */
const TAGS = 300;
const LONG_LIFE_MILLISECONDS = 3_600_000;
const SHORT_LIFE_MILLISECONDS = 2_000;
/** Fields sent in one command while a hash is filled or read through. */
export const FIELDS_AT_ONCE = 1_000;

/** Name under which the ledger knows a field of a hash. */
export const fieldName = (key: string, field: string) => `${key} ${field}`;

/** What one client does, one operation after the other, on keys of its own. */
export class Workload {
  #client: Cluster;
  readonly #ledger: Ledger;
  readonly #name: string;
  readonly #fields: number;
  #n = 0;

  constructor(client: Cluster, ledger: Ledger, name: string, fields: number) {
    this.#client = client;
    this.#ledger = ledger;
    this.#name = name;
    this.#fields = fields;
  }

  get hash(): string {
    return `${this.#name}:hash`;
  }

  get fields(): number {
    return this.#fields;
  }

  /** From the next operation on. */
  use(client: Cluster): void {
    this.#client = client;
  }

  async fill(): Promise<void> {
    for (let at = 0; at < this.#fields; at += FIELDS_AT_ONCE) {
      const part = Array.from(
        { length: Math.min(FIELDS_AT_ONCE, this.#fields - at) },
        (_, i) => [`f${at + i}`, `v${at + i}`] as const,
      );
      await this.#client.hset(this.hash, ...part.flat());
      for (const [field, value] of part) this.#ledger.wrote(fieldName(this.hash, field), value);
    }
  }

  /** One more operation. @throws Error where the client was told of one */
  async next(): Promise<void> {
    const n = this.#n++;
    const kind = KINDS[n % KINDS.length] ?? "get";
    // Another tag each turn, and for reads one that some earlier turn wrote.
    const tag = `{${this.#name}:${(n * 37) % TAGS}}`;
    const value = `${this.#name}:${n}`;
    await this[kind](tag, value, n);
  }

  async set(tag: string, value: string): Promise<void> {
    await this.#writing({ [`${tag}:single`]: value }, () => this.#client.set(`${tag}:single`, value));
  }

  async get(tag: string): Promise<void> {
    await this.#reading([`${tag}:single`], async ([key = ""]) => [await this.#client.get(key)]);
  }

  async mset(tag: string, value: string): Promise<void> {
    const pairs = { [`${tag}:a`]: value, [`${tag}:b`]: value, [`${tag}:c`]: value };
    await this.#writing(pairs, () => this.#client.mset(pairs));
  }

  async mget(tag: string): Promise<void> {
    await this.#reading([`${tag}:a`, `${tag}:b`, `${tag}:c`, `${tag}:x`, `${tag}:y`], (keys) =>
      this.#client.mget(...keys),
    );
  }

  /** Both keys or none, and what is read inside is what was written inside. */
  async transaction(tag: string, value: string): Promise<void> {
    const [x, y] = [`${tag}:x`, `${tag}:y`];
    await this.#writing({ [x]: value, [y]: value }, async () => {
      const results = await transact(this.#client, x, (multi) => multi.set(x, value).set(y, value).get(x));
      const failure = results?.find(([error]) => error)?.[0];
      if (failure) throw failure;
      if (results?.[2]?.[1] !== value)
        this.#ledger.wrong.push(`${x} is ${JSON.stringify(results?.[2]?.[1])} in its own transaction`);
    });
  }

  async remove(tag: string): Promise<void> {
    await this.#writing({ [`${tag}:single`]: null }, () => this.#client.del(`${tag}:single`));
  }

  async longLived(tag: string, value: string): Promise<void> {
    const key = `${tag}:long`;
    await this.#writing({ [key]: value }, () => this.#client.set(key, value, "PX", LONG_LIFE_MILLISECONDS));
    const left = await this.#client.pttl(key);
    if (left <= 0 || left > LONG_LIFE_MILLISECONDS) this.#ledger.wrong.push(`${key} lives for ${left} ms`);
  }

  async shortLived(tag: string, value: string): Promise<void> {
    const key = `${tag}:short`;
    const asked = Date.now();
    try {
      await this.#client.set(key, value, "PX", SHORT_LIFE_MILLISECONDS);
    } catch (error) {
      this.#ledger.attempted(key, value);
      throw error;
    }
    const [until, goneBy] = [asked + SHORT_LIFE_MILLISECONDS, Date.now() + SHORT_LIFE_MILLISECONDS];
    this.#ledger.wrote(key, value, { lives: { until, goneBy } });
  }

  async readShortLived(tag: string): Promise<void> {
    await this.#reading([`${tag}:short`, `${tag}:long`], (keys) => this.#client.mget(...keys));
  }

  async setField(_tag: string, value: string, n: number): Promise<void> {
    const field = `f${(n * 7919) % this.#fields}`;
    await this.#writing({ [fieldName(this.hash, field)]: value }, () => this.#client.hset(this.hash, field, value));
  }

  async getFields(_tag: string, _value: string, n: number): Promise<void> {
    const fields = Array.from({ length: 10 }, (_, i) => `f${((n + i) * 7919) % this.#fields}`);
    const asked = Date.now();
    const got = await this.#client.hmget(this.hash, ...fields);
    for (const [i, field] of fields.entries()) this.#ledger.compare(fieldName(this.hash, field), got[i] ?? null, asked);
  }

  async #writing(values: Readonly<Record<string, string | null>>, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      for (const [key, value] of Object.entries(values)) this.#ledger.attempted(key, value);
      throw error;
    }
    for (const [key, value] of Object.entries(values)) this.#ledger.wrote(key, value);
  }

  async #reading(keys: string[], work: (keys: string[]) => Promise<(string | null)[]>): Promise<void> {
    const asked = Date.now();
    const got = await work(keys);
    for (const [i, key] of keys.entries()) this.#ledger.compare(key, got[i] ?? null, asked);
  }
}

const KINDS = [
  "set",
  "mset",
  "get",
  "transaction",
  "mget",
  "longLived",
  "setField",
  "mset",
  "getFields",
  "transaction",
  "shortLived",
  "remove",
  "readShortLived",
] as const;

/** Milliseconds that WAIT may take for one write; not confirmed by then, it counts as acknowledged only. */
const CONFIRM_MILLISECONDS = 500;

/**
 * Writes that are confirmed by WAIT: on the connection that wrote, in the same pipeline, since WAIT speaks of the writes of
 * its own connection. A client of its own, because WAIT holds up whatever else is sent through it.
 */
export async function confirmedWrite(
  client: Cluster,
  ledger: Ledger,
  key: string,
  value: string,
  replicas: number,
): Promise<void> {
  let acknowledged = false;
  try {
    for (;;) {
      const results = await client.pipeline().set(key, value).wait(replicas, CONFIRM_MILLISECONDS).exec();
      const [[failure] = [new Error("no answer")], [, confirmedBy] = [null, 0]] = results ?? [];
      // A pipeline with WAIT in it is not repeated by ioredis, since WAIT itself did not fail.
      if (failure && /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b/.test(failure.message)) {
        await client.exists(key);
        await setTimeout(20);
        continue;
      }
      if (failure) throw failure;
      acknowledged = true;
      ledger.wrote(key, value, { confirmed: Number(confirmedBy) >= replicas });
      return;
    }
  } finally {
    if (!acknowledged) ledger.attempted(key, value);
  }
}
