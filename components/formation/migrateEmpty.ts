import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { compareTwins } from "./migrateConflicts";
import { insist, type MigrationContext, RoundInterrupted, sourceOf } from "./migrateContext";
import { nextGo, nextSlots, type Pace, type SizedKey } from "./migratePace";
import { Probe } from "./migrateProbe";
import { waitWhile } from "./migrateRate";
import { MOST_KEYS_BY_SCRIPT, moveByScript, resultsOfScript } from "./migrateScript";
import {
  type DataSet,
  type LargeKey,
  LOOK_FAILS,
  largeKeysIn,
  lookCommand,
  needsLooking,
  refuseTooBig,
} from "./migrateSizes";
import type { MigrateSlots } from "./rebalance";
import type { Answer, Command } from "./wire";

/** Keys that are listed at a time while a slot is emptied. */
const KEYS_A_LIST = 1_000;
const MOST_MIGRATE_TIMEOUT_MILLISECONDS = 10_000;
/** Listings in a row that gain nothing: keys are listed that MIGRATE does not take away. */
const FRUITLESS_LISTINGS = 200;

/** What emptying asks of each slot that was opened, besides how many keys it has. */
export const listCommand = (slot: number): Command => ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_LIST];

/** Moves the keys of slots that are open at both ends, until there is none, and counts them. */
export class Emptying {
  readonly #step: MigrateSlots;
  readonly #context: MigrationContext;
  readonly #source: NodeEndpoint;
  readonly #pace: Pace;
  /** Of one MIGRATE, in milliseconds: the source serves nobody meanwhile, and others must not take it for failed. */
  readonly #timeout: number;
  /** What a key takes on average, in bytes; 0 where sizes cannot matter. */
  readonly #average: number;
  /** The same for the account of what was moved. */
  readonly #typical: number;
  /** The source lists and moves by itself. Not where it has to log in at the target, nor after it failed to in this round. */
  #scripts: boolean;
  /** A script failed: should that be a target that hangs, one MIGRATE at a time waits for it and not one a slot. */
  #careful = false;
  #keys = 0;
  #bytes = 0;

  constructor(step: MigrateSlots, context: MigrationContext, pace: Pace, data: DataSet) {
    this.#step = step;
    this.#context = context;
    this.#source = sourceOf(step, context);
    this.#pace = pace;
    this.#timeout = Math.min(MOST_MIGRATE_TIMEOUT_MILLISECONDS, Math.ceil(context.nodeTimeoutMilliseconds / 2));
    this.#scripts = context.connections.migrateAuth.length === 0;
    this.#typical = data.bytes / Math.max(1, data.keys);
    this.#average = needsLooking(data, context.nodeTimeoutMilliseconds) ? this.#typical : 0;
  }

  get moved(): { readonly keys: number; readonly bytes: number } {
    return { keys: this.#keys, bytes: Math.round(this.#bytes) };
  }

  /** Large keys have to be known before a slot is opened. */
  get looks(): boolean {
    return this.#average > 0;
  }

  /** Only how many keys a slot has is asked, not which. */
  get byScript(): boolean {
    return this.#scripts && !this.looks;
  }

  /**
   * The source picks the keys. Whatever does not go as it should is left to `byLists`.
   * @param wait every go keeps to the rate, instead of the group as a whole
   */
  async byCounts(found: readonly { readonly slot: number; readonly left: number }[], wait: boolean): Promise<void> {
    let open = found.filter(({ left }) => left > 0 && left <= MOST_KEYS_BY_SCRIPT);
    const stuck = found.filter(({ left }) => left > MOST_KEYS_BY_SCRIPT).map(({ slot }) => slot);
    while (open.length > 0) {
      const go = nextSlots(open, this.#pace.keys);
      await this.#rest(wait ? go.reduce((sum, { keys }) => sum + keys, 0) : 0);
      const command = moveByScript(this.#step, go, this.#timeout);
      const began = performance.now();
      const expected = { EVAL: /^/ };
      const [answer] = await insist(this.#context, this.#source, this.#step.node, [command], { expected });
      const results = resultsOfScript(answer);
      const moved = results.reduce((sum, result) => sum + result.moved, 0);
      this.#pace.moved(moved, performance.now() - began);
      this.#keys += moved;
      this.#bytes += moved * this.#typical;
      const later = open.slice(go.length);
      if (results.length < go.length || results.some(({ failed }) => failed)) {
        this.#scripts = false;
        this.#careful = true;
        const gone = go.filter((_, i) => results[i]?.left === 0).map(({ slot }) => slot);
        stuck.push(...open.map(({ slot }) => slot).filter((slot) => !gone.includes(slot)));
        break;
      }
      open = [];
      for (const [i, { slot }] of go.entries()) {
        const { moved, left } = results[i] ?? { moved: 0, left: 0 };
        if (left > 0 && moved > 0) open.push({ slot, left });
        else if (left > 0) stuck.push(slot);
      }
      open.push(...later);
    }
    if (stuck.length > 0) await this.byLists(stuck, await this.#ask(stuck.map(listCommand), true), [], wait);
  }

  /**
   * Keys are named from here.
   * @param first what each slot's `listCommand` was answered
   * @param known their large keys
   */
  async byLists(
    group: readonly number[],
    first: readonly Answer[],
    known: readonly LargeKey[],
    wait: boolean,
  ): Promise<void> {
    let slots = group;
    let lists = first;
    let large = known;
    for (let fruitless = 0; ; ) {
      const before = this.#keys;
      const left = slots.map((slot, i) => ({ slot, keys: keysIn(lists[i]) })).filter(({ keys }) => keys.length > 0);
      if (left.length === 0) return;
      const sizes = new Map(large.map(({ key, bytes }) => [key.toString("latin1"), bytes]));
      const bytesOf = (key: Buffer) =>
        (sizes.size === 0 ? undefined : sizes.get(key.toString("latin1"))) ?? this.#average;
      const sized = left.flatMap(({ slot, keys }) => keys.map((key) => ({ slot, key, bytes: bytesOf(key) })));
      slots = left.map(({ slot }) => slot);
      const answers = await this.#moveAll(sized, slots, wait);
      lists = answers.slice(0, slots.length);
      const looked = answers.slice(slots.length);
      // Only in slots with more keys than were looked at before they were opened.
      refuseAll(this.#step, slots, looked, this.#context.nodeTimeoutMilliseconds);
      large = looked.flatMap(largeKeysIn);
      fruitless = this.#keys > before ? 0 : fruitless + 1;
      if (fruitless > 0) await setTimeout(Math.min(100, fruitless));
      if (fruitless > FRUITLESS_LISTINGS)
        throw new RoundInterrupted(`${this.#step.node} lists keys of slot ${slots[0]} that MIGRATE does not find`);
    }
  }

  /** Moves these keys in goes of the pace's size. @returns a new listing of these slots and their large keys, after the last go */
  async #moveAll(keys: readonly SizedKey[], slots: readonly number[], wait: boolean): Promise<Answer[]> {
    const again = [
      ...slots.map(listCommand),
      ...(this.#average > 0 ? slots.map((slot) => lookCommand(slot, KEYS_A_LIST)) : []),
    ];
    for (let at = 0; at < keys.length; ) {
      const next = nextGo(keys, at, this.#pace);
      const go = this.#careful ? next.filter(({ slot }) => slot === next[0]?.slot) : next;
      await this.#rest(wait ? go.length : 0);
      at += go.length;
      const last = at >= keys.length;
      const bySlot = slotsOf(go);
      const commands = [
        ...bySlot.map(({ keys: own }) => this.#migrate(own.map(({ key }) => key))),
        ...(last ? again : []),
      ];
      const began = performance.now();
      const answers = await insist(this.#context, this.#source, this.#step.node, commands, {
        binary: true,
        expected: { ...LOOK_FAILS, MIGRATE: /BUSYKEY|OOM/ },
      });
      this.#pace.moved(go.length, performance.now() - began);
      let settled = false;
      for (const [i, { slot, keys: own }] of bySlot.entries()) {
        const answer = answers[i];
        if (answer?.ok) this.#count(String(answer.value) === "NOKEY" ? [] : own);
        else if (/OOM/.test(answer?.error.message ?? "")) throw await Probe.noRoom(this.#step, this.#context);
        else {
          await this.#settleTwins(
            slot,
            own.map(({ key }) => key),
          );
          this.#count(own);
          settled = true;
        }
      }
      if (last) return settled ? await this.#ask(again, true) : answers.slice(bySlot.length);
    }
    return [];
  }

  /** Leaves the servers alone for as long as they need it, and as the rate asks before so many keys. */
  async #rest(keys: number): Promise<void> {
    if (this.#pace.restMilliseconds > 0) await setTimeout(this.#pace.restMilliseconds);
    const wait = this.#context.rate.reserve(keys);
    if (wait > 0) await waitWhile(wait, () => !this.#context.stopReason());
  }

  #migrate(keys: readonly Buffer[], replace = false): Command {
    const { address, port } = this.#step.toEndpoint;
    const { migrateAuth } = this.#context.connections;
    return [
      "MIGRATE",
      address,
      port,
      "",
      0,
      this.#timeout,
      ...(replace ? ["REPLACE"] : []),
      ...migrateAuth,
      "KEYS",
      ...keys,
    ];
  }

  /** A server names no key that is on both ends; of those it was asked to move, all are compared. */
  async #settleTwins(slot: number, keys: readonly Buffer[]): Promise<void> {
    const { same, single } = await compareTwins(this.#step, slot, keys, this.#source, this.#context);
    const commands = [
      ...(same.length > 0 ? [this.#migrate(same, true)] : []),
      ...(single.length > 0 ? [this.#migrate(single)] : []),
    ];
    await insist(this.#context, this.#source, this.#step.node, commands, {
      expected: { MIGRATE: /BUSYKEY/ },
    });
  }

  #count(keys: readonly SizedKey[]): void {
    this.#keys += keys.length;
    this.#bytes += keys.reduce((sum, { bytes }) => sum + (bytes || this.#typical), 0);
  }

  #ask(commands: readonly Command[], binary = false): Promise<Answer[]> {
    return insist(this.#context, this.#source, this.#step.node, commands, { binary, expected: LOOK_FAILS });
  }
}

/** A MIGRATE takes keys of one slot only. */
function slotsOf(keys: readonly SizedKey[]): { slot: number; keys: SizedKey[] }[] {
  const found: { slot: number; keys: SizedKey[] }[] = [];
  for (const key of keys) {
    const last = found.at(-1);
    if (last?.slot === key.slot) last.keys.push(key);
    else found.push({ slot: key.slot, keys: [key] });
  }
  return found;
}

export function refuseAll(
  step: MigrateSlots,
  slots: readonly number[],
  looked: readonly Answer[],
  nodeTimeoutMilliseconds: number,
): void {
  for (const [i, slot] of slots.entries()) refuseTooBig(step, slot, largeKeysIn(looked[i]), nodeTimeoutMilliseconds);
}

/** A slot is empty only where its owner said so. */
export const numberIn = (answer: Answer | undefined): number => Number(contentOf(answer));
const keysIn = (answer: Answer | undefined): Buffer[] => contentOf(answer) as Buffer[];

function contentOf(answer: Answer | undefined): unknown {
  if (answer?.ok) return answer.value;
  throw new RoundInterrupted(answer?.error.message ?? "no answer");
}
