import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../config/types";
import { compareTwins } from "./migrateConflicts";
import { insist, type MigrationContext, type Moved, RoundInterrupted, sourceOf } from "./migrateContext";
import { groupSlots, nextGo, Pace, type SizedKey } from "./migratePace";
import { Probe, refuseWithoutRoom } from "./migrateProbe";
import { dataSetOf, type LargeKey, largeKeysIn, lookCommand, needsLooking, refuseTooBig } from "./migrateSizes";
import type { AnsweringNode } from "./observation";
import type { MigrateSlots } from "./rebalance";
import { expandSlots } from "./slots";
import type { Answer, Command, Connections } from "./wire";

const COUNTED_AT_ONCE = 1_024;
/** Keys of one slot that are looked at before it is opened: a server stops for as long as it lists them. */
const LOOKED_AT = 10_000;
/** Keys that are listed at a time while a slot is emptied. */
const KEYS_A_LIST = 1_000;
const MIGRATE_TIMEOUT_MILLISECONDS = 10_000;
/** Where SETSLOT waits for replicas: how many wait at the same time, and one after the other. */
const LANES = 8;
const SLOTS_A_LANE = 8;
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
  readonly #closed: Command[] = [];
  /** Connections for SETSLOT where it blocks: from Valkey 8 on each one waits until the replicas have it too. */
  readonly #lanes: readonly Connections[];
  /** What a key takes on average, in bytes; 0 where sizes cannot matter. */
  #average = 0;
  #slots = 0;
  #keys = 0;

  constructor(step: MigrateSlots, context: MigrationContext) {
    this.#step = step;
    this.#context = context;
    this.#source = sourceOf(step, context);
    const blocks = [step.node, step.to].some((node) => waitsForReplicas(context.servers[node]));
    this.#lanes = blocks ? Array.from({ length: LANES }, () => context.connections.another()) : [];
  }

  async run(): Promise<Moved> {
    const probe = new Probe(this.#step, this.#source, this.#context, this.#pace);
    try {
      await refuseWithoutRoom(this.#step, this.#context.connections);
      const data = await dataSetOf(this.#context, this.#source, this.#step.node);
      if (needsLooking(data, this.#context.nodeTimeoutMilliseconds))
        this.#average = data.bytes / Math.max(1, data.keys);
      probe.start();
      await this.#go(probe);
    } catch (error) {
      if (!(error instanceof RoundInterrupted)) throw error;
      return { slots: this.#slots, keys: this.#keys, trouble: error.message };
    } finally {
      await probe.stop();
      await this.#tellOthers();
      for (const lane of this.#lanes) lane.close();
    }
    return { slots: this.#slots, keys: this.#keys };
  }

  async #go(probe: Probe): Promise<void> {
    const slots = expandSlots(this.#step.slots);
    let previous: readonly number[] = [];
    for (let from = 0; from < slots.length; from += COUNTED_AT_ONCE) {
      const part = slots.slice(from, from + COUNTED_AT_ONCE);
      const counts = await this.#counts(part);
      const most = this.#lanes.length > 0 ? LANES * SLOTS_A_LANE : undefined;
      const groups = groupSlots(part, (slot) => counts.get(slot) ?? 0, most);
      const looks = groups.map((group) =>
        this.#average > 0 ? group.filter((slot) => (counts.get(slot) ?? 0) > 0) : [],
      );
      let seen = await this.#ask(looksAt(looks[0] ?? []), true);
      for (const [i, group] of groups.entries()) {
        if (this.#slots > 0 && !this.#context.mayGoOn()) return this.#finish(previous);
        try {
          probe.check();
          refuseAll(this.#step, looks[i] ?? [], seen, this.#context.nodeTimeoutMilliseconds);
        } catch (error) {
          await this.#finish(previous);
          throw error;
        }
        const large = seen.flatMap(largeKeysIn);
        const answers = await this.#turn(previous, group, looksAt(looks[i + 1] ?? []));
        seen = answers.slice(group.length);
        await this.#empty(group, answers.slice(0, group.length), large);
        previous = group;
        this.#slots += group.length;
      }
    }
    await this.#finish(previous);
  }

  /**
   * The target tells everybody of each slot that it has got (a PONG to all). Where one got lost, this is sooner than gossip;
   * once a round, because every node that is told writes its nodes.conf.
   */
  async #tellOthers(): Promise<void> {
    const { connections, otherMasters } = this.#context;
    await Promise.all(otherMasters.map((other) => connections.send(other, this.#closed)));
  }

  async #finish(group: readonly number[]): Promise<void> {
    await this.#turn(group, [], []);
  }

  async #counts(slots: readonly number[]): Promise<Map<number, number>> {
    const answers = await this.#ask(slots.map((slot) => ["CLUSTER", "COUNTKEYSINSLOT", slot]));
    return new Map(slots.map((slot, i) => [slot, numberIn(answers[i])]));
  }

  /**
   * Closes one group and opens the next. The target always comes first: it imports before the source sends anybody there,
   * and owns before the source gives up.
   * @returns the first keys of each slot that was opened, then what `looks` answered
   */
  async #turn(closing: readonly number[], opening: readonly number[], looks: readonly Command[]): Promise<Answer[]> {
    const { nodeId, to, toId, toEndpoint, node } = this.#step;
    const closed = closing.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", toId]);
    const importing = opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "IMPORTING", nodeId]);
    const migrating = opening.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "MIGRATING", toId]);
    const lists = opening.map((slot): Command => ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_LIST]);
    await this.#setSlots(toEndpoint, to, [...closed, ...importing], /already the owner/i);
    const rest = [...lists, ...looks];
    const how = { binary: true, done: /not the owner|script/i };
    if (this.#lanes.length > 0) {
      await this.#setSlots(this.#source, node, [...closed, ...migrating], /not the owner/i);
      this.#closed.push(...closed);
      return insist(this.#context, this.#source, node, rest, how);
    }
    const answers = await insist(this.#context, this.#source, node, [...closed, ...migrating, ...rest], how);
    this.#closed.push(...closed);
    return answers.slice(closed.length + migrating.length);
  }

  async #setSlots(endpoint: NodeEndpoint, node: string, commands: readonly Command[], done: RegExp): Promise<void> {
    if (this.#lanes.length === 0) {
      await insist(this.#context, endpoint, node, commands, { done });
      return;
    }
    const shares = this.#lanes.map((connections, i) => ({
      context: { ...this.#context, connections },
      commands: commands.filter((_, at) => at % this.#lanes.length === i),
    }));
    await Promise.all(shares.map(({ context, commands: own }) => insist(context, endpoint, node, own, { done })));
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
    const lists = slots.map((slot): Command => ["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_LIST]);
    const again = [...lists, ...(this.#average > 0 ? slots.map((slot) => lookCommand(slot, KEYS_A_LIST)) : [])];
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
        expected: /BUSYKEY|OOM|script/i,
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
    return insist(this.#context, this.#source, this.#step.node, commands, { binary, expected: /script/i });
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

function waitsForReplicas(server: AnsweringNode["server"] | undefined): boolean {
  return server?.name === "valkey" && Number.parseInt(server.version, 10) >= 8;
}

const looksAt = (slots: readonly number[]) => slots.map((slot) => lookCommand(slot, LOOKED_AT));

function refuseAll(step: MigrateSlots, slots: readonly number[], looked: readonly Answer[], timeout: number): void {
  for (const [i, slot] of slots.entries()) refuseTooBig(step, slot, largeKeysIn(looked[i]), timeout);
}

const numberIn = (answer: Answer | undefined): number => (answer?.ok ? Number(answer.value) : 0);
const keysIn = (answer: Answer | undefined): Buffer[] =>
  answer?.ok && Array.isArray(answer.value) ? (answer.value as Buffer[]) : [];
