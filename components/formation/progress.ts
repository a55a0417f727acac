import type { FormationGoal } from "./goal";
import { claims, layoutOf } from "./layout";
import type { Moved } from "./migrate";
import { answering, type ClusterObservation, withoutRetired } from "./observation";
import { planMoves } from "./rebalance";
import { countSlots, SLOT_COUNT } from "./slots";
import { knows } from "./standing";

/** One line of where the work stands: `met 6/6 · slots 16384/16384 · replicas 3/3 · ok 6/6`. */
export function progressLine(goal: FormationGoal, observed: ClusterObservation): string {
  const observation = withoutRetired(observed);
  const alive = answering(observation);
  const total = observation.nodes.length;
  const met = alive.filter((node) => alive.every((other) => knows(node, other))).length;
  const layout = layoutOf(goal, observation);
  const replicas = layout.reduce(
    (sum, { replicas }) => sum + replicas.filter((r) => !r.leaving && r.replication.linkUp).length,
    0,
  );
  const planned = layout.reduce((sum, s) => sum + s.planned.nodes.length - 1, 0);
  const parts = [
    ...(alive.length < total ? [`answering ${alive.length}/${total}`] : []),
    `met ${met}/${total}`,
    `slots ${SLOT_COUNT - countSlots(claims(observation).unowned)}/${SLOT_COUNT}`,
    ...(planned > 0 ? [`replicas ${replicas}/${planned}`] : []),
    `ok ${alive.filter((n) => n.state === "ok").length}/${total}`,
  ];
  return parts.join(" · ");
}

/** How a move of slots goes on, and how long yet: `moved 1024 of 4096 slots · 250,000 keys · 61,000 keys/s · about 4 s left`. */
export class MoveProgress {
  #milliseconds = 0;
  #slots = 0;
  #keys = 0;

  /** @param before the cluster as it was when this round was planned */
  line(goal: FormationGoal, before: ClusterObservation, round: Moved & { readonly milliseconds: number }): string {
    const total = this.#slots + planMoves(goal, before).reduce((sum, m) => sum + countSlots(m.slots), 0);
    this.#slots += round.slots;
    this.#keys += round.keys;
    this.#milliseconds += round.milliseconds;
    const seconds = Math.max(0.001, this.#milliseconds / 1000);
    const left = Math.max(0, total - this.#slots);
    const rate = this.#slots / seconds;
    const number = (n: number) => Math.round(n).toLocaleString("en-US");
    return [
      `moved ${this.#slots} of ${Math.max(total, this.#slots)} slots`,
      `${number(this.#keys)} keys`,
      ...(this.#keys > 0 && seconds > 0.5 ? [`${number(this.#keys / seconds)} keys/s`] : []),
      ...(left > 0 && seconds > 0.5 ? [`about ${number(Math.ceil(left / rate))} s left`] : []),
    ].join(" · ");
  }
}
