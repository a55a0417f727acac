/** What is known of one write: it was asked for, it was acknowledged, or WAIT said that every replica has it. */
type Certainty = "asked" | "acknowledged" | "confirmed";

interface Write {
  readonly version: number;
  readonly certainty: Certainty;
  /** When it was acknowledged, or given up. */
  readonly at: number;
}

/** A time in which acknowledged writes may be lost: Redis replicates asynchronously, and a node died or froze. */
export interface Window {
  readonly from: number;
  to: number;
}

/** Before a node dies: what it acknowledged and had not handed to its replica yet. */
export const ASYNCHRONOUS_MILLISECONDS = 1_000;

/** Remembers every write, and judges what is read afterwards. Each key is written by one writer, one version after the other. */
export class Ledger {
  readonly #writes = new Map<string, Write[]>();
  readonly #windows: Window[] = [];
  readonly counts = { asked: 0, acknowledged: 0, confirmed: 0 };

  note(key: string, version: number, certainty: Certainty): void {
    const writes = this.#writes.get(key) ?? [];
    writes.push({ version, certainty, at: Date.now() });
    this.#writes.set(key, writes);
    this.counts[certainty]++;
  }

  /** A node dies or freezes now, or did at some time since then. Ends with `close`, when the cluster is whole again. */
  open(since = Date.now()): void {
    this.#windows.push({ from: since - ASYNCHRONOUS_MILLISECONDS, to: Number.POSITIVE_INFINITY });
  }

  close(): void {
    for (const window of this.#windows) if (window.to === Number.POSITIVE_INFINITY) window.to = Date.now();
  }

  get keys(): string[] {
    return [...this.#writes.keys()];
  }

  /** What is wrong with reading this version of the key (0: there is no such key); undefined where it may be so. */
  judge(key: string, read: number): string | undefined {
    const writes = this.#writes.get(key) ?? [];
    const asked = Math.max(0, ...writes.map((w) => w.version));
    if (read > asked) return `${key} is at version ${read}, and only ${asked} was ever written`;
    const missing = writes.filter((w) => w.version > read && w.certainty !== "asked");
    const lost = missing.find((w) => w.certainty === "confirmed" || !this.#mayBeLost(w));
    return lost && `${key} is at version ${read}, and version ${lost.version} was ${lost.certainty}`;
  }

  #mayBeLost({ at }: Write): boolean {
    return this.#windows.some(({ from, to }) => from <= at && at <= to);
  }
}
