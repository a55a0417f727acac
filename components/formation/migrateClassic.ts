import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { compareTwins } from "./migrateConflicts";
import { insist, type MigrationContext, type Moved, RoundInterrupted, sourceOf } from "./migrateContext";
import { groupSlots, nextGo, Pace, type SizedKey } from "./migratePace";
import { Probe } from "./migrateProbe";
import { dataSetOf, LISTED_AT_ONCE, type Measuring, measuringFor, sizesOf } from "./migrateSizes";
import type { MigrateSlots } from "./rebalance";
import { expandSlots } from "./slots";
import type { Answer, Command } from "./wire";

const COUNTED_AT_ONCE = 1_024;
/** Keys that are listed at a time while a slot is emptied. */
const KEYS_A_LIST = 1_000;
const MIGRATE_TIMEOUT_MILLISECONDS = 10_000;
/** Listings in a row that gain nothing: keys are listed that MIGRATE does not take away. */
const FRUITLESS_LISTINGS = 200;

/**
 * Moves slots the way every version knows: target IMPORTING, source MIGRATING, keys in batches, then the new owner on the
 * target first (or the cluster is without one if it dies in between), the source, the other masters. Any prefix of this
 * can be carried on by calling it again.
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
  readonly #telling: Promise<unknown>[] = [];
  #measuring: Measuring = "none";
  #slots = 0;
  #keys = 0;

  constructor(step: MigrateSlots, context: MigrationContext) {
    this.#step = step;
    this.#context = context;
    this.#source = sourceOf(step, context);
  }

  async run(): Promise<Moved> {
    const probe = new Probe(this.#step, this.#source, this.#context, this.#pace);
    try {
      await probe.roomOnTarget();
      this.#measuring = measuringFor(
        await dataSetOf(this.#context, this.#source, this.#step.node),
        this.#context.nodeTimeoutMilliseconds,
      );
      probe.start();
      await this.#go(probe);
      return { slots: this.#slots, keys: this.#keys };
    } catch (error) {
      if (error instanceof RoundInterrupted) return { slots: this.#slots, keys: this.#keys, trouble: error.message };
      throw error;
    } finally {
      await probe.stop();
      await Promise.all(this.#telling);
    }
  }

  async #go(probe: Probe): Promise<void> {
    const slots = expandSlots(this.#step.slots);
    let previous: readonly number[] = [];
    for (let from = 0; from < slots.length; from += COUNTED_AT_ONCE) {
      const part = slots.slice(from, from + COUNTED_AT_ONCE);
      const counts = await this.#counts(part);
      for (const group of groupSlots(part, (slot) => counts.get(slot) ?? 0)) {
        if (this.#slots > 0 && !this.#context.mayGoOn()) {
          await this.#turn(previous, []);
          return;
        }
        await probe.check();
        if (this.#measuring === "every")
          await this.#lookBeforeOpening(group.filter((slot) => (counts.get(slot) ?? 0) > 0));
        const lists = await this.#turn(previous, group);
        await this.#empty(group, lists);
        previous = group;
        this.#slots += group.length;
      }
    }
    await this.#turn(previous, []);
  }

  async #counts(slots: readonly number[]): Promise<Map<number, number>> {
    const answers = await this.#ask(slots.map((slot) => ["CLUSTER", "COUNTKEYSINSLOT", slot]));
    return new Map(slots.map((slot, i) => [slot, numberIn(answers[i])]));
  }

  /** A key that is too big is found while the slot is still whole. */
  async #lookBeforeOpening(slots: readonly number[]): Promise<void> {
    const lists = await this.#ask(
      slots.map((slot) => ["CLUSTER", "GETKEYSINSLOT", slot, LISTED_AT_ONCE]),
      true,
    );
    for (const [i, slot] of slots.entries()) {
      const keys = keysIn(lists[i]);
      await sizesOf(this.#step, slot, keys, this.#measuring, this.#source, this.#context);
    }
  }

  /**
   * Closes one group and opens the next. The target always comes first: it imports before the source sends anybody there,
   * and owns before the source gives up. @returns the first keys of each slot that was opened
   */
  async #turn(closing: readonly number[], opening: readonly number[]): Promise<Answer[]> {
    const { nodeId, to, toId, toEndpoint, node } = this.#step;
    const closed = closing.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", toId]);
    const importing = opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "IMPORTING", nodeId]);
    const migrating = opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "MIGRATING", toId]);
    const lists = opening.map((slot): Command => ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_LIST]);
    await insist(this.#context, toEndpoint, to, [...closed, ...importing], { done: /already the owner/i });
    const answers = await insist(this.#context, this.#source, node, [...closed, ...migrating, ...lists], {
      binary: true,
      done: /not the owner/i,
    });
    // The others learn by gossip too; telling them only saves their clients a redirection.
    if (closed.length > 0)
      this.#telling.push(...this.#context.otherMasters.map((other) => this.#context.connections.send(other, closed)));
    return answers.slice(closed.length + migrating.length);
  }

  /** Moves keys until none is listed any more in any slot of the group. */
  async #empty(group: readonly number[], first: readonly Answer[]): Promise<void> {
    let slots = group;
    let lists: readonly Answer[] = first;
    for (let fruitless = 0; ; ) {
      const before = this.#keys;
      const left = slots.map((slot, i) => ({ slot, keys: keysIn(lists[i]) })).filter(({ keys }) => keys.length > 0);
      if (left.length === 0) return;
      const sized: SizedKey[] = [];
      for (const { slot, keys } of left) {
        const sizes = await sizesOf(this.#step, slot, keys, this.#measuring, this.#source, this.#context);
        sized.push(...keys.map((key, i) => ({ slot, key, bytes: sizes[i] ?? 0 })));
      }
      slots = left.map(({ slot }) => slot);
      lists = await this.#moveAll(sized, slots);
      fruitless = this.#keys > before ? 0 : fruitless + 1;
      if (fruitless > 0) await setTimeout(Math.min(100, fruitless));
      if (fruitless > FRUITLESS_LISTINGS)
        throw new RoundInterrupted(`${this.#step.node} lists keys of slot ${slots[0]} that MIGRATE does not find`);
    }
  }

  /** Moves these keys in goes of the pace's size. @returns a new listing of these slots, taken after the last go */
  async #moveAll(keys: readonly SizedKey[], slots: readonly number[]): Promise<Answer[]> {
    const again = slots.map((slot): Command => ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_LIST]);
    for (let at = 0; at < keys.length; ) {
      if (this.#pace.restMilliseconds > 0) await setTimeout(this.#pace.restMilliseconds);
      const go = nextGo(keys, at, this.#pace);
      at += go.length;
      const last = at >= keys.length;
      const bySlot = slotsOf(go);
      const commands = [...bySlot.map(({ keys: own }) => this.#migrate(own)), ...(last ? again : [])];
      const began = performance.now();
      const answers = await insist(this.#context, this.#source, this.#step.node, commands, {
        binary: true,
        expected: /BUSYKEY|OOM/,
      });
      this.#pace.moved(go.length, performance.now() - began);
      let settled = false;
      for (const [i, { slot, keys: own }] of bySlot.entries()) {
        const answer = answers[i];
        if (answer?.ok) this.#keys += String(answer.value) === "NOKEY" ? 0 : own.length;
        else if (/OOM/.test(answer?.error.message ?? "")) throw await Probe.noRoom(this.#step, this.#context);
        else {
          await this.#settleTwins(slot, own);
          settled = true;
        }
      }
      if (last) return settled ? await this.#ask(again, true) : answers.slice(bySlot.length);
    }
    return [];
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
      MIGRATE_TIMEOUT_MILLISECONDS,
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
    await insist(this.#context, this.#source, this.#step.node, commands, { expected: /BUSYKEY/ });
    this.#keys += keys.length;
  }

  #ask(commands: readonly Command[], binary = false): Promise<Answer[]> {
    return insist(this.#context, this.#source, this.#step.node, commands, { binary });
  }
}

/** A MIGRATE takes keys of one slot only. */
function slotsOf(keys: readonly SizedKey[]): { slot: number; keys: Buffer[] }[] {
  const found: { slot: number; keys: Buffer[] }[] = [];
  for (const { slot, key } of keys) {
    const last = found.at(-1);
    if (last?.slot === slot) last.keys.push(key);
    else found.push({ slot, keys: [key] });
  }
  return found;
}

const numberIn = (answer: Answer | undefined): number => (answer?.ok ? Number(answer.value) : 0);
const keysIn = (answer: Answer | undefined): Buffer[] =>
  answer?.ok && Array.isArray(answer.value) ? (answer.value as Buffer[]) : [];
