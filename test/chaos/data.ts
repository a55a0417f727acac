import { setTimeout } from "node:timers/promises";
import { Ledger } from "./ledger";
import { Router } from "./router";

const TTL_MILLISECONDS = 3_600_000;
/** Keys of every type, written once and confirmed before anything happens. */
const STILL = 24;
const WRITERS = 2;
/** Keys that each writer keeps writing to. One whose write is in doubt is written no more: a late one must not confuse the count. */
const KEYS_A_WRITER = 60;
const PAUSE_MILLISECONDS = 4;
const WAIT_MILLISECONDS = 150;
const AT_ONCE = 16;

type Command = readonly (string | number)[];

interface StillKey {
  readonly key: string;
  readonly write: Command;
  readonly read: Command;
  readonly expected: string;
  readonly expires?: boolean;
}

/** Data of every type, and writers that go on whatever happens; all of it compared at the end of each round. */
export class Data {
  readonly ledger = new Ledger();
  readonly #router = new Router();
  readonly #still = stillKeys();
  /** How many replicas have to confirm a write. */
  #replicas = 0;
  #paused = true;
  #ended = false;
  #loops: Promise<void>[] = [];

  use(seeds: readonly string[], replicas: number): void {
    this.#router.useSeeds(seeds);
    this.#replicas = replicas;
  }

  /** Writes what stays as it is. */
  async fill(): Promise<void> {
    await inTurns(this.#still, async ({ key, write, expires }) => {
      const commands = [
        write,
        ...(expires ? [["PEXPIRE", key, TTL_MILLISECONDS]] : []),
        ["WAIT", this.#replicas, 1_500],
      ];
      const answers = await this.#router.send(key, commands);
      const failed = answers.find((a) => !a.ok);
      if (failed && !failed.ok) throw new Error(`${key} could not be written: ${failed.error.message}`);
    });
  }

  start(): void {
    this.#loops = Array.from({ length: WRITERS }, (_, writer) => this.#loop(writer));
    this.#paused = false;
  }

  async #loop(writer: number): Promise<void> {
    const keys = Array.from({ length: KEYS_A_WRITER }, (_, i) => ({ key: `live:${writer}:${i}`, version: 0 }));
    let next = KEYS_A_WRITER;
    for (let turn = 0; !this.#ended; turn++) {
      await setTimeout(PAUSE_MILLISECONDS);
      const entry = keys[turn % keys.length];
      if (this.#paused || !entry) continue;
      const version = ++entry.version;
      const wait = turn % 3 === 0 && this.#replicas > 0;
      const [answer, confirmed] = await this.#router.send(entry.key, [
        ["SET", entry.key, version, "PX", TTL_MILLISECONDS],
        ...(wait ? [["WAIT", this.#replicas, WAIT_MILLISECONDS]] : []),
      ]);
      if (answer?.ok) {
        const sure = wait && confirmed?.ok && Number(confirmed.value) >= this.#replicas;
        this.ledger.note(entry.key, version, sure ? "confirmed" : "acknowledged");
        continue;
      }
      this.ledger.note(entry.key, version, "asked");
      keys[turn % keys.length] = { key: `live:${writer}:${next++}`, version: 0 };
      await setTimeout(20);
    }
  }

  /** Everything read back and compared. @returns what is wrong */
  async audit(): Promise<string[]> {
    const wrong: string[] = [];
    this.#paused = true;
    await setTimeout(WAIT_MILLISECONDS);
    await inTurns(this.#still, async ({ key, read, expected, expires }) => {
      const [answer, left] = await this.#read(key, [read, ["PTTL", key]]);
      if (plain(answer) !== expected) wrong.push(`${key} reads as ${plain(answer).slice(0, 80)}`);
      const ttl = Number(left);
      if (expires ? ttl <= 0 || ttl > TTL_MILLISECONDS : ttl !== -1) wrong.push(`${key} lives for ${ttl} ms`);
    });
    await inTurns(this.ledger.keys, async (key) => {
      const [value, left] = await this.#read(key, [
        ["GET", key],
        ["PTTL", key],
      ]);
      const fault = this.ledger.judge(key, Number(value ?? 0));
      if (fault) wrong.push(fault);
      else if (value !== null && (Number(left) <= 0 || Number(left) > TTL_MILLISECONDS))
        wrong.push(`${key} lives for ${left} ms`);
    });
    this.#paused = false;
    return wrong;
  }

  /** @throws where it is not answered, several times over */
  async #read(key: string, commands: readonly Command[]): Promise<unknown[]> {
    for (let attempt = 1; ; attempt++) {
      const answers = await this.#router.send(key, commands);
      const failed = answers.find((a) => !a.ok);
      if (!failed || failed.ok) return answers.map((a) => (a.ok ? a.value : undefined));
      if (attempt === 20) throw new Error(`${key} cannot be read: ${failed.error.message}`);
      await setTimeout(100);
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    await Promise.all(this.#loops);
    this.#router.close();
  }
}

async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) await Promise.all(items.slice(at, at + AT_ONCE).map(work));
}

/** As text, without the nesting in which protocol versions differ. */
function plain(value: unknown): string {
  return JSON.stringify(Array.isArray(value) ? value.flat(9).map(String) : String(value));
}

function stillKeys(): StillKey[] {
  return Array.from({ length: STILL }, (_, i): StillKey[] => {
    const members = Array.from({ length: 12 }, (__, n) => `m${n}:${i}`);
    return [
      { key: `s:${i}`, write: ["SET", `s:${i}`, `v${i}`], read: ["GET", `s:${i}`], expected: plain(`v${i}`) },
      {
        key: `t:${i}`,
        write: ["SET", `t:${i}`, `t${i}`],
        read: ["GET", `t:${i}`],
        expected: plain(`t${i}`),
        expires: true,
      },
      {
        key: `l:${i}`,
        write: ["RPUSH", `l:${i}`, ...members],
        read: ["LRANGE", `l:${i}`, 0, -1],
        expected: plain(members),
      },
      {
        key: `z:${i}`,
        write: ["ZADD", `z:${i}`, ...members.flatMap((m, n) => [n, m])],
        read: ["ZRANGE", `z:${i}`, 0, -1, "WITHSCORES"],
        expected: plain(members.flatMap((m, n) => [m, String(n)])),
      },
      {
        key: `h:${i}`,
        write: ["HSET", `h:${i}`, ...members.flatMap((m) => [m, `of ${m}`])],
        read: ["HMGET", `h:${i}`, ...members],
        expected: plain(members.map((m) => `of ${m}`)),
        expires: true,
      },
      { key: `S:${i}`, write: ["SADD", `S:${i}`, ...members], read: ["SCARD", `S:${i}`], expected: plain(12) },
      {
        key: `x:${i}`,
        write: ["XADD", `x:${i}`, `${i + 1}-1`, "field", members[0] ?? ""],
        read: ["XRANGE", `x:${i}`, "-", "+"],
        expected: plain([[`${i + 1}-1`, ["field", members[0] ?? ""]]]),
      },
    ];
  }).flat();
}
