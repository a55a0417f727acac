/** Above this a client notices: less is moved at once, and the servers are left alone in between. */
const TOO_SLOW_MILLISECONDS = 3.5;
/** Below this there is room for more. */
const FAST_MILLISECONDS = 1.5;
/** Keys moved in one go; at the least as many as a client does not notice even on a slow machine. */
export const KEYS_AT_ONCE = { first: 200, least: 60, most: 1_000 } as const;
/** The same in bytes, as MEMORY USAGE counts them; a larger key goes alone. */
export const BYTES_AT_ONCE = { first: 256 * 1024, least: 16 * 1024, most: 2 * 1024 * 1024 } as const;
const LONGEST_REST_MILLISECONDS = 5;

/**
 * How much is moved in one go, and how long the servers rest between two, so that clients of both nodes hardly notice.
 * Source and target serve nobody while a MIGRATE runs, so its own duration is a client's wait; a PING on another connection
 * tells of everything else that makes them slow. A single slow answer may be the machine's own business: only what lasts counts.
 */
export class Pace {
  #keys: number = KEYS_AT_ONCE.first;
  #bytes: number = BYTES_AT_ONCE.first;
  #took = 0;
  readonly #pings: number[] = [];
  #rest = 0;

  get keys(): number {
    return Math.round(this.#keys);
  }

  get bytes(): number {
    return Math.round(this.#bytes);
  }

  /** How long to leave the servers alone before the next go. */
  get restMilliseconds(): number {
    return this.#rest;
  }

  /** One go that took this long. A go of a single key cannot be made smaller and says nothing. */
  moved(keys: number, milliseconds: number): void {
    if (keys === 0) return;
    // What a full go would take: a small one at a slot's end does not make room for larger ones.
    const full = keys >= this.#keys * 0.5;
    this.#took = this.#took === 0 ? milliseconds : this.#took * 0.75 + milliseconds * 0.25;
    if (this.#took > TOO_SLOW_MILLISECONDS && keys > 1) this.#shrink(0.7);
    else if (this.#took < FAST_MILLISECONDS && full && this.#slowest() < TOO_SLOW_MILLISECONDS) this.#grow();
    this.#rest =
      this.#slowest() > TOO_SLOW_MILLISECONDS ? Math.min(LONGEST_REST_MILLISECONDS, Math.max(1, milliseconds)) : 0;
  }

  /** The round trip of a PING that waited behind whatever the node was doing. */
  pinged(milliseconds: number): void {
    this.#pings.push(milliseconds);
    if (this.#pings.length > 4) this.#pings.shift();
    if (this.#slowest() > TOO_SLOW_MILLISECONDS) this.#shrink(0.8);
  }

  /** The second slowest of the last four: one alone may be chance. */
  #slowest(): number {
    return [...this.#pings].sort((a, b) => b - a)[1] ?? 0;
  }

  #shrink(by: number): void {
    this.#keys = Math.max(KEYS_AT_ONCE.least, this.#keys * by);
    this.#bytes = Math.max(BYTES_AT_ONCE.least, this.#bytes * by);
    this.#took *= by;
  }

  #grow(): void {
    this.#keys = Math.min(KEYS_AT_ONCE.most, this.#keys * 1.1);
    this.#bytes = Math.min(BYTES_AT_ONCE.most, this.#bytes * 1.1);
  }
}

/**
 * Slots that are open at a time: three, or more where they have few keys in all. A command with several keys, of which some
 * do not exist yet, waits on an open slot until that is closed, so even of slots without keys not too many.
 */
export const OPEN_AT_ONCE = { slots: 3, fewKeys: 1_000, mostSlots: 64 } as const;

/**
 * Slots that are opened together, in order. Slots without keys cost one round trip a group, not one each; slots with keys
 * are open for as long as it takes to empty all of their group, and a multi-key command on one that is half moved has to wait.
 */
export function groupSlots(slots: readonly number[], keysOf: (slot: number) => number): number[][] {
  const groups: number[][] = [];
  let group: number[] = [];
  let keys = 0;
  for (const slot of slots) {
    const more = keysOf(slot);
    const fits =
      group.length < OPEN_AT_ONCE.mostSlots &&
      (group.length < OPEN_AT_ONCE.slots || keys + more <= OPEN_AT_ONCE.fewKeys);
    if (!fits) {
      groups.push(group);
      group = [];
      keys = 0;
    }
    group.push(slot);
    keys += more;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

/** One key on its way, with what is known of its size. */
export interface SizedKey {
  readonly slot: number;
  readonly key: Buffer;
  readonly bytes: number;
}

/**
 * The next keys to go. Whole slots where that can be: of a slot that moves in one go no client ever sees a half, on which a
 * command with several keys would have to wait. The largest key of a slot never counts, since it cannot be cut anyway.
 * Slots with more keys than the limits allow are cut; few keys that would be left over go along.
 */
export function nextGo(
  keys: readonly SizedKey[],
  from: number,
  limits: { readonly keys: number; readonly bytes: number },
): SizedKey[] {
  const go: SizedKey[] = [];
  let bytes = 0;
  while (from + go.length < keys.length) {
    const own = slotFrom(keys, from + go.length);
    const weight = own.reduce((sum, k) => sum + k.bytes, 0) - Math.max(...own.map((k) => k.bytes));
    const most = limits.keys * (go.length === 0 ? LEFT_OVER : 1);
    if (go.length + own.length > most || bytes + weight > limits.bytes) return go.length > 0 ? go : cut(own, limits);
    go.push(...own);
    bytes += own.reduce((sum, k) => sum + k.bytes, 0);
    if (bytes > limits.bytes) break;
  }
  return go;
}

const LEFT_OVER = 1.3;

/** The same by counts, where the source picks the keys by itself: the next slots and how many keys of each. */
export function nextSlots(
  open: readonly { readonly slot: number; readonly left: number }[],
  most: number,
): { slot: number; keys: number }[] {
  const go: { slot: number; keys: number }[] = [];
  let keys = 0;
  for (const { slot, left } of open) {
    const whole = left <= most * LEFT_OVER;
    if (go.length > 0 && (!whole || keys + left > most)) break;
    go.push({ slot, keys: whole ? left : most });
    keys += left;
  }
  return go;
}

function slotFrom(keys: readonly SizedKey[], from: number): SizedKey[] {
  const end = keys.findIndex((k, i) => i > from && k.slot !== keys[from]?.slot);
  return keys.slice(from, end < 0 ? keys.length : end);
}

function cut(keys: readonly SizedKey[], limits: { readonly keys: number; readonly bytes: number }): SizedKey[] {
  const go: SizedKey[] = [];
  let bytes = 0;
  for (const key of keys) {
    if (go.length > 0 && (go.length >= limits.keys || bytes + key.bytes > limits.bytes)) break;
    go.push(key);
    bytes += key.bytes;
  }
  return go;
}
