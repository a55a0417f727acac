import type { Redis } from "ioredis";
import { keySlot } from "../../components/spec/keySlot";
import { openClient } from "./cluster";

type Reply = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Error };

const REDIRECTIONS = 6;

/**
 * A cluster client that hides nothing: it follows redirections, and tries nothing twice that may have happened. So what was
 * acknowledged, and what WAIT said of it on the same connection, is known for each write.
 */
export class Router {
  readonly #clients = new Map<string, Redis>();
  readonly #owners = new Map<number, string>();
  #seeds: readonly string[] = [];

  /** Where to begin: `host:port` of nodes that run. */
  useSeeds(seeds: readonly string[]): void {
    this.#seeds = seeds;
    this.#owners.clear();
  }

  /** Commands of one key, sent together to whoever serves it. The first one's answer says whether they were. */
  async send(key: string, commands: readonly (readonly (string | number)[])[]): Promise<Reply[]> {
    const slot = keySlot(key);
    let at = this.#owners.get(slot) ?? this.#anySeed(slot);
    let asking = false;
    for (let turn = 0; ; turn++) {
      const replies: Reply[] = await this.#exchange(at, asking ? [["ASKING"], ...commands] : commands);
      const answers: Reply[] = asking ? replies.slice(1) : replies;
      const first: Reply | undefined = answers[0];
      const redirected: RegExpExecArray | null =
        first?.ok === false ? /^(MOVED|ASK) \d+ (\S+)/.exec(first.error.message) : null;
      if (!redirected?.[2] || turn >= REDIRECTIONS) {
        // Another seed next time.
        if (first?.ok === false) this.#owners.delete(slot);
        return answers;
      }
      at = redirected[2];
      asking = redirected[1] === "ASK";
      if (!asking) this.#owners.set(slot, at);
    }
  }

  #anySeed(slot: number): string {
    const seed = this.#seeds[(slot + Math.floor(Date.now() / 100)) % Math.max(1, this.#seeds.length)];
    if (seed === undefined) throw new Error("there is no node to begin with");
    return seed;
  }

  async #exchange(at: string, commands: readonly (readonly (string | number)[])[]): Promise<Reply[]> {
    const client = this.#client(at);
    try {
      const pipeline = client.pipeline();
      for (const [name = "", ...args] of commands) pipeline.call(String(name), ...args);
      const replies = (await pipeline.exec()) ?? [];
      const answers = commands.map((_, i): Reply => {
        const [error, value] = replies[i] ?? [new Error("no answer"), undefined];
        return error ? { ok: false, error } : { ok: true, value };
      });
      // What is answered late must not be taken for the answer to what comes next.
      if (answers.some((a) => !a.ok && a.error.name !== "ReplyError")) this.#drop(at);
      return answers;
    } catch (error) {
      this.#drop(at);
      return commands.map((): Reply => ({ ok: false, error: error as Error }));
    }
  }

  #client(at: string): Redis {
    const known = this.#clients.get(at);
    if (known && known.status !== "end") return known;
    const colon = at.lastIndexOf(":");
    const client = openClient({ address: at.slice(0, colon), port: Number(at.slice(colon + 1)) });
    this.#clients.set(at, client);
    return client;
  }

  #drop(at: string): void {
    this.#clients.get(at)?.disconnect();
    this.#clients.delete(at);
  }

  close(): void {
    for (const at of [...this.#clients.keys()]) this.#drop(at);
  }
}
