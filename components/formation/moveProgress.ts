import { describeSize } from "../spec/sizes";
import type { FormationGoal } from "./goal";
import type { Moved } from "./migrateContext";
import { answering, type ClusterObservation, self } from "./observation";
import { type MigrateSlots, planMoves } from "./rebalance";
import { countSlots } from "./slots";

/** What moves have to carry, or have carried. */
interface Amount {
  readonly slots: number;
  readonly keys: number;
}

/** Too short a time to tell a rate from. */
const LEAST_SECONDS = 0.5;
const PAIRS_SHOWN = 12;

/** How moves of slots go on in one run, and how long they will take yet. */
export class MoveProgress {
  readonly #limit: number | undefined;
  #milliseconds = 0;
  #slots = 0;
  #keys = 0;
  #bytes = 0;

  /** @param limit keys a second, where a rate is to be kept */
  constructor(limit?: number) {
    this.#limit = limit;
  }

  /**
   * `moved 1,024 of 4,096 slots · 250,000 of 1,000,000 keys · 31mb of 125mb · 61,000 keys/s · 7.5mb/s · about 13 s left`; what is
   * yet to move, and bytes, are estimates from what the sources hold.
   * @param before the cluster as it was when this round was planned
   */
  line(goal: FormationGoal, before: ClusterObservation, round: Moved & { readonly milliseconds: number }): string {
    const planned = amountOf(planMoves(goal, before), before);
    const left = {
      slots: Math.max(0, planned.slots - round.slots),
      keys: Math.max(0, planned.keys - round.keys),
    };
    this.#slots += round.slots;
    this.#keys += round.keys;
    this.#bytes += round.bytes;
    this.#milliseconds += round.milliseconds;
    // Keys are estimated by slots: an estimate that is left over when all slots have moved was one too many.
    const keys = left.slots === 0 ? 0 : left.keys;
    const seconds = this.#milliseconds / 1000;
    const known = seconds > LEAST_SECONDS && this.#keys > 0;
    const size = this.#keys > 0 ? ` · ${sized(this.#bytes)} of ${sized(this.#bytesOf(this.#keys + keys))}` : "";
    const rate = known ? ` · ${number(this.#keys / seconds)} keys/s · ${sized(this.#bytes / seconds)}/s` : "";
    const time = left.slots > 0 ? this.#timeLeft({ ...left, keys }) : undefined;
    return `moved ${number(this.#slots)} of ${number(this.#slots + left.slots)} slots · ${number(this.#keys)} of ${number(this.#keys + keys)} keys${size}${rate}${time ? ` · ${time} left` : ""}`;
  }

  /** What has moved in this run, and what is left, in words. */
  summary(goal: FormationGoal, observation: ClusterObservation): string {
    const left = amountOf(planMoves(goal, observation), observation);
    const done =
      this.#slots === 0
        ? "no slot moved in this run"
        : `${number(this.#slots)} slots with ${number(this.#keys)} keys moved in this run`;
    const size = this.#keys > 0 && left.keys > 0 ? ` (${sized(this.#bytesOf(left.keys))})` : "";
    const time = this.#timeLeft(left);
    return `${done}; left are ${number(left.slots)} slots with about ${number(left.keys)} keys${size}${time ? `, ${time}` : ""}`;
  }

  /** What is left, by pair. */
  pairsLeft(goal: FormationGoal, observation: ClusterObservation): string[] {
    const moves = planMoves(goal, observation);
    const lines = moves.slice(0, PAIRS_SHOWN).map((move) => {
      const { slots, keys } = amountOf([move], observation);
      return `${move.node} → ${move.to}: ${number(slots)} slots, about ${number(keys)} keys`;
    });
    return moves.length > PAIRS_SHOWN ? [...lines, `and ${moves.length - PAIRS_SHOWN} more pairs`] : lines;
  }

  #bytesOf(keys: number): number {
    return this.#keys === 0 ? 0 : (keys * this.#bytes) / this.#keys;
  }

  /** The later of what slots, keys and a declared rate say; undefined where nothing is known yet. */
  #timeLeft({ slots, keys }: Amount): string | undefined {
    const seconds = this.#milliseconds / 1000;
    const byProgress =
      seconds > LEAST_SECONDS
        ? [
            ...(this.#slots > 0 ? [(slots * seconds) / this.#slots] : []),
            ...(this.#keys > 0 ? [(keys * seconds) / this.#keys] : []),
          ]
        : [];
    const estimates = [...byProgress, ...(this.#limit === undefined ? [] : [keys / this.#limit])];
    return estimates.length === 0 ? undefined : `about ${duration(Math.max(...estimates))}`;
  }
}

/** Keys are estimated: a source's keys in proportion to the slots that it gives of those that it owns. */
export function amountOf(moves: readonly MigrateSlots[], observation: ClusterObservation): Amount {
  const nodes = new Map(answering(observation).map((n) => [n.name, n]));
  const amounts = moves.map((move): Amount => {
    const slots = countSlots(move.slots);
    const source = nodes.get(move.node);
    const owned = source ? countSlots(self(source).slots) : 0;
    return { slots, keys: source && owned > 0 ? (source.keys * slots) / owned : 0 };
  });
  return {
    slots: amounts.reduce((sum, { slots }) => sum + slots, 0),
    keys: Math.round(amounts.reduce((sum, { keys }) => sum + keys, 0)),
  };
}

/** `12 s`, `3 min`, `2 h 10 min`: what a person plans with. */
export function duration(seconds: number): string {
  if (seconds < 100) return `${Math.max(1, Math.ceil(seconds))} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const number = (n: number) => Math.round(n).toLocaleString("en-US");
const sized = (bytes: number) => describeSize(Math.round(bytes));
