import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { compareTwins } from "./migrateConflicts";
import { insist, type MigrationContext, type Moved, MoveRefused, RoundInterrupted, sourceOf } from "./migrateContext";
import { groupSlots, nextGo, nextSlots, OPEN_AT_ONCE, Pace, type SizedKey } from "./migratePace";
import { Probe, refuseWithoutRoom } from "./migrateProbe";
import { waitWhile } from "./migrateRate";
import { MOST_KEYS_BY_SCRIPT, moveByScript, resultOfScript } from "./migrateScript";
import { SlotSetter } from "./migrateSetSlots";
import {
  dataSetOf,
  type LargeKey,
  LOOK_FAILS,
  largeKeysIn,
  lookCommand,
  needsLooking,
  refuseOtherDatabases,
  refuseTooBig,
} from "./migrateSizes";
import type { MigrateSlots } from "./rebalance";
import { expandSlots } from "./slots";
import type { Answer, Command } from "./wire";

const COUNTED_AT_ONCE = 1_024;
/** Keys of one slot that are looked at before it is opened: a server stops for as long as it lists them. */
const LOOKED_AT = 10_000;
/** Keys that are listed at a time while a slot is emptied. */
const KEYS_A_LIST = 1_000;
const MOST_MIGRATE_TIMEOUT_MILLISECONDS = 10_000;
/** Listings in a row that gain nothing: keys are listed that MIGRATE does not take away. */
const FRUITLESS_LISTINGS = 200;

/**
 * Moves slots the way every version knows: target IMPORTING, source MIGRATING, keys in batches, then the new owner on the
 * target first (or the cluster is without one if it dies in between), the source, other masters that have not heard of it. Any
 * prefix of this can be carried on by calling it again.
 *
 * Closing one group and opening the next share their round trips: with sixty keys a slot the trips cost more than the keys.
 */
export async function migrateClassic(step: MigrateSlots, context: MigrationContext): Promise<Moved> {
  return new ClassicRound(step, context).run();
}

class ClassicRound {
  readonly #step: MigrateSlots;
  readonly #context: MigrationContext;
  readonly #source: NodeEndpoint;
  readonly #pace = new Pace();
  /** Of one MIGRATE, in milliseconds: the source serves nobody meanwhile, and others must not take it for failed. */
  readonly #timeout: number;
  readonly #setter: SlotSetter;
  readonly #closed: number[] = [];
  /** Slots that are open still and hold no key any more: closing them shares its trips with opening the next. */
  #emptied: readonly number[] = [];
  /** What a key takes on average, in bytes; 0 where sizes cannot matter. */
  #average = 0;
  /** The same for the account of what was moved. */
  #typical = 0;
  /** The slots that are open have more keys than may wait together: their goes wait one by one. */
  #wait = false;
  /** The source lists and moves by itself. Not where it has to log in at the target, nor after it failed to in this round. */
  #scripts: boolean;
  #slots = 0;
  #keys = 0;
  #bytes = 0;

  constructor(step: MigrateSlots, context: MigrationContext) {
    this.#step = step;
    this.#context = context;
    this.#source = sourceOf(step, context);
    this.#timeout = Math.min(MOST_MIGRATE_TIMEOUT_MILLISECONDS, Math.ceil(context.nodeTimeoutMilliseconds / 2));
    this.#setter = new SlotSetter(context, [step.node, step.to]);
    this.#scripts = context.connections.migrateAuth.length === 0;
  }

  async run(): Promise<Moved> {
    const probe = new Probe(this.#step, this.#source, this.#context, this.#pace);
    let trouble: string | undefined;
    try {
      await refuseWithoutRoom(this.#step, this.#context.connections);
      const data = await dataSetOf(this.#context, this.#source, this.#step.node);
      refuseOtherDatabases(this.#step, data);
      this.#typical = data.bytes / Math.max(1, data.keys);
      if (needsLooking(data, this.#context.nodeTimeoutMilliseconds)) this.#average = this.#typical;
      probe.start();
      await this.#go(probe);
    } catch (error) {
      if (!(error instanceof RoundInterrupted)) throw error;
      trouble = error.message;
    } finally {
      await probe.stop();
      await this.#setter.tell(this.#context.otherMasters, this.#closed, this.#step.toId);
      this.#setter.close();
    }
    const moved = { slots: this.#slots, keys: this.#keys, bytes: Math.round(this.#bytes) };
    return trouble === undefined ? moved : { ...moved, trouble };
  }

  async #go(probe: Probe): Promise<void> {
    const slots = expandSlots(this.#step.slots);
    try {
      for (let from = 0; from < slots.length && this.#mayBegin(); from += COUNTED_AT_ONCE)
        await this.#moveSlots(slots.slice(from, from + COUNTED_AT_ONCE), probe);
    } catch (error) {
      // A person is to decide about other slots than these.
      if (error instanceof MoveRefused) await this.#turn([], []);
      throw error;
    }
    await this.#turn([], []);
  }

  /** Every round gets somewhere, however late it is, until time is up for all of them. */
  #mayBegin(): boolean {
    return !this.#context.timeIsUp() && (this.#slots === 0 || this.#context.mayGoOn());
  }

  async #moveSlots(slots: readonly number[], probe: Probe): Promise<void> {
    const counts = await this.#counts(slots);
    const keysOf = (slot: number) => counts.get(slot) ?? 0;
    const groups = groupSlots(slots, keysOf);
    const looks = groups.map((group) => (this.#average > 0 ? group.filter((slot) => keysOf(slot) > 0) : []));
    let seen = await this.#ask(looksAt(looks[0] ?? []), true);
    for (const [i, group] of groups.entries()) {
      if (!this.#mayBegin()) return;
      probe.check();
      refuseAll(this.#step, looks[i] ?? [], seen, this.#context.nodeTimeoutMilliseconds);
      if (!(await this.#turnComes(group.reduce((sum, slot) => sum + keysOf(slot), 0)))) return;
      const large = seen.flatMap(largeKeysIn);
      const byScript = this.#scripts && this.#average === 0;
      const contents = group.map(byScript ? countCommand : listCommand);
      const answers = await this.#turn(group, [...contents, ...looksAt(looks[i + 1] ?? [])]);
      seen = answers.slice(group.length);
      const found = answers.slice(0, group.length);
      if (byScript) await this.#emptyByScript(group, found);
      else await this.#empty(group, found, large);
      this.#emptied = group;
      this.#slots += group.length;
    }
  }

  /** Where a rate is to be kept, few keys wait before their slots are opened, so that none stays open for it. */
  async #turnComes(keys: number): Promise<boolean> {
    const { rate } = this.#context;
    this.#wait = keys > OPEN_AT_ONCE.fewKeys;
    const wait = this.#wait ? 0 : rate.reserve(keys);
    if (wait === 0) return true;
    await this.#turn([], []);
    if (await waitWhile(wait, () => this.#mayBegin() && this.#context.stopReason() === undefined)) return true;
    rate.giveBack(keys);
    return false;
  }

  async #counts(slots: readonly number[]): Promise<Map<number, number>> {
    const answers = await this.#ask(slots.map(countCommand));
    return new Map(slots.map((slot, i) => [slot, numberIn(answers[i])]));
  }

  /**
   * Closes the slots that are empty and opens the next. The target always comes first: it imports before the source sends
   * anybody there, and owns before the source gives up.
   * @returns what the source answered to `questions`, with the slots open: from there on they gain no key
   */
  async #turn(opening: readonly number[], questions: readonly Command[]): Promise<Answer[]> {
    const { nodeId, to, toId, toEndpoint, node } = this.#step;
    const closed = this.#emptied.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", toId]);
    const importing = opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "IMPORTING", nodeId]);
    const migrating = opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "MIGRATING", toId]);
    await this.#setter.set(toEndpoint, to, [...closed, ...importing], { done: /already the owner/i });
    const answers = await this.#setter.set(
      this.#source,
      node,
      [...closed, ...migrating],
      { binary: true, done: /not the owner/i, expected: LOOK_FAILS },
      questions,
    );
    this.#closed.push(...this.#emptied);
    this.#emptied = [];
    return answers;
  }

  /** The same as `#empty`, to which it leaves whatever does not go as it should. */
  async #emptyByScript(group: readonly number[], counts: readonly Answer[]): Promise<void> {
    const found = group.map((slot, i) => ({ slot, left: numberIn(counts[i]) }));
    let open = found.filter(({ left }) => left > 0 && left <= MOST_KEYS_BY_SCRIPT);
    const stuck = found.filter(({ left }) => left > MOST_KEYS_BY_SCRIPT).map(({ slot }) => slot);
    while (open.length > 0) {
      const go = nextSlots(open, this.#pace.keys);
      await this.#rest(go.reduce((sum, { keys }) => sum + keys, 0));
      const commands = go.map(({ slot, keys }) => moveByScript(this.#step, slot, keys, this.#timeout));
      const began = performance.now();
      const expected = { EVAL: /^/ };
      const answers = await insist(this.#context, this.#source, this.#step.node, commands, { expected });
      const results = go.map(({ slot }, i) => ({ slot, ...resultOfScript(answers[i]) }));
      const moved = results.reduce((sum, result) => sum + result.moved, 0);
      this.#pace.moved(moved, performance.now() - began);
      this.#keys += moved;
      this.#bytes += moved * this.#typical;
      open = open.slice(go.length);
      for (const { slot, moved, left, failed } of results) {
        if (failed) this.#scripts = false;
        if (left === 0) continue;
        if (failed || moved === 0 || left === undefined) stuck.push(slot);
        else open.unshift({ slot, left });
      }
    }
    if (stuck.length > 0) await this.#empty(stuck, await this.#ask(stuck.map(listCommand), true), []);
  }

  /** Moves keys until none is listed any more in any slot of the group. */
  async #empty(group: readonly number[], first: readonly Answer[], known: readonly LargeKey[]): Promise<void> {
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
      const answers = await this.#moveAll(sized, slots);
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
  async #moveAll(keys: readonly SizedKey[], slots: readonly number[]): Promise<Answer[]> {
    const again = [
      ...slots.map(listCommand),
      ...(this.#average > 0 ? slots.map((slot) => lookCommand(slot, KEYS_A_LIST)) : []),
    ];
    for (let at = 0; at < keys.length; ) {
      const go = nextGo(keys, at, this.#pace);
      await this.#rest(go.length);
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
    if (this.#wait) await waitWhile(this.#context.rate.reserve(keys), () => !this.#context.stopReason());
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

const countCommand = (slot: number): Command => ["CLUSTER", "COUNTKEYSINSLOT", slot];
const listCommand = (slot: number): Command => ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_LIST];
const looksAt = (slots: readonly number[]) => slots.map((slot) => lookCommand(slot, LOOKED_AT));

function refuseAll(step: MigrateSlots, slots: readonly number[], looked: readonly Answer[], timeout: number): void {
  for (const [i, slot] of slots.entries()) refuseTooBig(step, slot, largeKeysIn(looked[i]), timeout);
}

/** A slot is empty only where its owner said so. */
const numberIn = (answer: Answer | undefined): number => Number(contentOf(answer));
const keysIn = (answer: Answer | undefined): Buffer[] => contentOf(answer) as Buffer[];

function contentOf(answer: Answer | undefined): unknown {
  if (answer?.ok) return answer.value;
  throw new RoundInterrupted(answer?.error.message ?? "no answer");
}
