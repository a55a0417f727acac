/**
 * A time during which acknowledged writes may be lost: a master died, and what it had not replicated went with it. Reads are compared as
 * they come, so it is named before it begins; its owner sets its end.
 */
export interface LossWindow {
  readonly from: number;
  readonly to: number;
}

/** `null` is no value: deleted, or never written. */
export type Value = string | null;

interface Write {
  readonly value: Value;
  /** When it was acknowledged; undefined where the client was told of an error, so that it may or may not have happened. */
  readonly acknowledgedAt: number | undefined;
  /** WAIT said that every replica has it. */
  readonly confirmed: boolean;
}

interface Entry {
  /** Oldest first. The first one is what every later read may rely on. */
  writes: Write[];
  /** The value goes by itself: there for certain until the first time, gone for certain after the second. */
  lives: { readonly until: number; readonly goneBy: number } | undefined;
}

/** Writes that are younger than this are remembered one by one. */
const REMEMBERED_MILLISECONDS = 30_000;
/** Clocks of client and server are the same here, but neither is exact. */
const EXPIRY_SLACK_MILLISECONDS = 250;

/**
 * What clients were told about each key, and so what it must hold. Without a loss window that is the last acknowledged value
 * and nothing else; a write that ended in an error may have happened or not.
 */
export class Ledger {
  readonly #entries = new Map<string, Entry>();
  readonly wrong: string[] = [];
  /** Acknowledged writes found missing that fell into a loss window. */
  lostInWindow = 0;
  readonly #windows: LossWindow[] = [];

  allowLoss(window: LossWindow): void {
    this.#windows.push(window);
  }

  get keys(): string[] {
    return [...this.#entries.keys()];
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The write was acknowledged. */
  wrote(
    key: string,
    value: Value,
    {
      confirmed = false,
      lives,
    }: { readonly confirmed?: boolean; readonly lives?: { readonly until: number; readonly goneBy: number } } = {},
  ): void {
    const now = Date.now();
    const entry = this.#entries.get(key) ?? { writes: [], lives: undefined };
    // The newest of the old ones is what the key falls back to; nobody may see again what came before a confirmed write.
    const isOld = (w: Write) => w.acknowledgedAt !== undefined && w.acknowledgedAt <= now - REMEMBERED_MILLISECONDS;
    const kept = confirmed ? [] : entry.writes.slice(Math.max(0, entry.writes.findLastIndex(isOld)));
    kept.push({ value, acknowledgedAt: now, confirmed });
    this.#entries.set(key, { writes: kept, lives });
  }

  /** The client got an error for this write. */
  attempted(key: string, value: Value): void {
    const entry = this.#entries.get(key) ?? { writes: [], lives: undefined };
    if (entry.writes.length === 0) entry.writes.push({ value: null, acknowledgedAt: 0, confirmed: true });
    entry.writes.push({ value, acknowledgedAt: undefined, confirmed: false });
    entry.lives = undefined;
    this.#entries.set(key, entry);
  }

  /** @param asked when the read was sent; it was answered now */
  compare(key: string, got: Value, asked: number): void {
    const entry = this.#entries.get(key);
    const last = entry?.writes.at(-1);
    if (!entry || !last) {
      if (got !== null) this.wrong.push(`${key} is ${show(got)}, and was never written`);
      return;
    }
    if (entry.lives && got === null && Date.now() >= entry.lives.until - EXPIRY_SLACK_MILLISECONDS) return;
    if (entry.lives && got !== null && asked > entry.lives.goneBy + EXPIRY_SLACK_MILLISECONDS) {
      this.wrong.push(`${key} is ${show(got)} although its time to live is over`);
      return;
    }
    if (got === last.value) return;
    const lost: Write[] = [];
    for (let i = entry.writes.length - 1; i >= 0; i--) {
      const write = entry.writes[i];
      if (!write) break;
      if (write.value === got) {
        if (!lost.every((w) => this.#mayBeLost(w))) break;
        // From now on this is what the key holds.
        this.lostInWindow += lost.filter((w) => w.acknowledgedAt !== undefined).length;
        entry.writes = entry.writes.slice(0, i + 1);
        return;
      }
      lost.push(write);
    }
    // Never there before its first write.
    if (got === null && lost.length === entry.writes.length && lost.every((w) => this.#mayBeLost(w))) {
      this.lostInWindow += lost.filter((w) => w.acknowledgedAt !== undefined).length;
      entry.writes = [{ value: null, acknowledgedAt: 0, confirmed: true }];
      return;
    }
    const state = last.confirmed ? "confirmed by WAIT" : last.acknowledgedAt === undefined ? "attempted" : "written";
    const age = last.acknowledgedAt === undefined ? "" : ` ${Date.now() - last.acknowledgedAt} ms ago`;
    this.wrong.push(`${key} is ${show(got)}, ${state}${age}: ${show(last.value)}`);
  }

  #mayBeLost({ acknowledgedAt, confirmed }: Write): boolean {
    if (acknowledgedAt === undefined) return true;
    return !confirmed && this.#windows.some((w) => acknowledgedAt >= w.from && acknowledgedAt <= w.to);
  }
}

function show(value: Value): string {
  return value === null ? "missing" : JSON.stringify(value);
}
