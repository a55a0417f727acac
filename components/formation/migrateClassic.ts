import type { NodeEndpoint } from "../config/types";
import {
  insist,
  LastHeard,
  type MigrationContext,
  type Moved,
  MoveRefused,
  RoundInterrupted,
  sourceOf,
} from "./migrateContext";
import { Emptying, listCommand, numberIn, refuseAll } from "./migrateEmpty";
import { groupSlots, OPEN_AT_ONCE, Pace } from "./migratePace";
import { Probe, refuseWithoutRoom } from "./migrateProbe";
import { waitWhile } from "./migrateRate";
import { SlotSetter } from "./migrateSetSlots";
import { dataSetOf, LOOK_FAILS, largeKeysIn, lookCommand, refuseOtherDatabases } from "./migrateSizes";
import type { MigrateSlots } from "./rebalance";
import { expandSlots } from "./slots";
import type { Answer, Command } from "./wire";

const COUNTED_AT_ONCE = 1_024;
/** Keys of one slot that are looked at before it is opened: a server stops for as long as it lists them. */
const LOOKED_AT = 10_000;

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
  readonly #heard: LastHeard;
  readonly #setter: SlotSetter;
  /** Slots of the target, as it was told. */
  readonly #closed: number[] = [];
  /** Slots that are open still and hold no key any more: closing them shares its trips with opening the next. */
  #emptied: readonly number[] = [];
  /** Slots that the target owns and that are open on the source, until it has heard of that from the target. */
  #handed: readonly number[] = [];
  #slots = 0;

  constructor(step: MigrateSlots, context: MigrationContext) {
    this.#step = step;
    this.#heard = new LastHeard(context.nodeTimeoutMilliseconds);
    this.#context = { ...context, heard: this.#heard };
    this.#source = sourceOf(step, context);
    this.#setter = new SlotSetter(this.#context, [step.node, step.to]);
  }

  async run(): Promise<Moved> {
    const probe = new Probe(this.#step, this.#source, this.#context, this.#pace);
    let emptying: Emptying | undefined;
    let trouble: string | undefined;
    try {
      await refuseWithoutRoom(this.#step, this.#context.connections);
      const data = await dataSetOf(this.#context, this.#source, this.#step.node);
      refuseOtherDatabases(this.#step, data);
      emptying = new Emptying(this.#step, this.#context, this.#pace, data);
      probe.start();
      await this.#go(probe, emptying);
    } catch (error) {
      if (!(error instanceof RoundInterrupted)) throw error;
      trouble = error.message;
    } finally {
      await probe.stop();
      await this.#setter.tell(this.#context.otherMasters, this.#closed, this.#step.toId);
      this.#setter.close();
    }
    const moved = { slots: this.#slots, ...(emptying?.moved ?? { keys: 0, bytes: 0 }) };
    return trouble === undefined ? moved : { ...moved, trouble };
  }

  async #go(probe: Probe, emptying: Emptying): Promise<void> {
    const slots = expandSlots(this.#step.slots);
    try {
      for (let from = 0; from < slots.length && this.#mayBegin(); from += COUNTED_AT_ONCE)
        await this.#moveSlots(slots.slice(from, from + COUNTED_AT_ONCE), probe, emptying);
    } catch (error) {
      // A person is to decide about other slots than these.
      if (error instanceof MoveRefused) await this.#closeIfPossible();
      throw error;
    }
    await this.#close();
  }

  /** Every round gets somewhere, however late it is, until time is up for all of them. */
  #mayBegin(): boolean {
    return !this.#context.timeIsUp() && (this.#slots === 0 || this.#context.mayGoOn());
  }

  async #moveSlots(slots: readonly number[], probe: Probe, emptying: Emptying): Promise<void> {
    const counts = await this.#counts(slots);
    const keysOf = (slot: number) => counts.get(slot) ?? 0;
    const groups = groupSlots(slots, keysOf);
    const looks = groups.map((group) => (emptying.looks ? group.filter((slot) => keysOf(slot) > 0) : []));
    let seen = await this.#ask(looksAt(looks[0] ?? []), true);
    for (const [i, group] of groups.entries()) {
      if (!this.#mayBegin()) return;
      probe.check();
      refuseAll(this.#step, looks[i] ?? [], seen, this.#context.nodeTimeoutMilliseconds);
      const keys = group.reduce((sum, slot) => sum + keysOf(slot), 0);
      // More than may wait together with their slots open.
      const wait = keys > OPEN_AT_ONCE.fewKeys;
      if (!wait && !(await this.#turnComes(keys))) return;
      const large = seen.flatMap(largeKeysIn);
      const lists = emptying.byScript ? [] : group.map(listCommand);
      const { counted, answers } = await this.#turn(group, [...lists, ...looksAt(looks[i + 1] ?? [])]);
      seen = answers.slice(lists.length);
      const found = group.map((slot, at) => ({ slot, left: numberIn(counted[at]) }));
      if (lists.length === 0) await emptying.byCounts(found, wait);
      else await emptying.byLists(group, answers.slice(0, lists.length), large, wait);
      this.#emptied = group;
      this.#slots += group.length;
    }
  }

  /** Where a rate is to be kept, few keys wait before their slots are opened, so that none stays open for it. */
  async #turnComes(keys: number): Promise<boolean> {
    const { rate } = this.#context;
    const wait = rate.reserve(keys);
    if (wait === 0) return true;
    await this.#close();
    if (await waitWhile(wait, () => this.#mayBegin() && this.#context.stopReason() === undefined)) return true;
    rate.giveBack(keys);
    return false;
  }

  async #counts(slots: readonly number[]): Promise<Map<number, number>> {
    const answers = await this.#ask(slots.map((slot): Command => ["CLUSTER", "COUNTKEYSINSLOT", slot]));
    return new Map(slots.map((slot, i) => [slot, numberIn(answers[i])]));
  }

  /**
   * Closes the slots that are empty and opens the next. The target always comes first: it imports before the source sends
   * anybody there, and owns before the source gives up. The source gives up a turn later still, when it has mostly heard of the
   * new owner by itself: a 7.0 that is told before it has read an older word of that owner believes that nobody claims the
   * slot, and gives it to whoever claims it next, such as a node that was killed and is back with its former view.
   * @returns how many keys the source counts in each slot that was opened, and what it answered to `questions`, with the slots
   * open: from there on they gain no key
   */
  async #turn(opening: readonly number[], questions: readonly Command[]) {
    const { nodeId, to, toId, toEndpoint, node } = this.#step;
    const closed = this.#emptied;
    // That they are empty is the source's word.
    const unless = () => (closed.length > 0 ? this.#heard.check(node) : undefined);
    await this.#setter.turn(
      toEndpoint,
      to,
      { closed, owner: toId, opening, state: "IMPORTING", peer: nodeId },
      { done: /already the owner/i, unless },
    );
    this.#closed.push(...closed);
    const handed = this.#handed;
    this.#handed = [...handed, ...closed];
    this.#emptied = [];
    const result = await this.#setter.turn(
      this.#source,
      node,
      { closed: handed, owner: toId, opening, state: "MIGRATING", peer: toId },
      // A source that is not the owner has handed the slot to somebody whom this move knows nothing of.
      { binary: true, expected: LOOK_FAILS },
      questions,
    );
    this.#handed = [...result.unheard, ...closed];
    return result;
  }

  /** Leaves nothing open. */
  async #close(): Promise<void> {
    await this.#turn([], []);
    const { toId, node } = this.#step;
    await this.#setter.settle(this.#source, node, this.#handed, toId);
    this.#handed = [];
  }

  /** What cannot be closed is finished another time. */
  async #closeIfPossible(): Promise<void> {
    try {
      await this.#close();
    } catch (error) {
      if (!(error instanceof RoundInterrupted)) throw error;
    }
  }

  #ask(commands: readonly Command[], binary = false): Promise<Answer[]> {
    return insist(this.#context, this.#source, this.#step.node, commands, { binary, expected: LOOK_FAILS });
  }
}

const looksAt = (slots: readonly number[]) => slots.map((slot) => lookCommand(slot, LOOKED_AT));
