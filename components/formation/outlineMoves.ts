import type { MigrationLimits } from "../spec/spec";
import { amountOf, duration } from "./moveProgress";
import type { ClusterObservation } from "./observation";
import type { Step } from "./steps";

/** What declared bounds mean for these moves, for a reader; empty where nothing moves or nothing is bounded. */
export function outlineLimits(
  steps: readonly Step[],
  observation: ClusterObservation,
  { maxKeysPerSecond, until }: MigrationLimits,
): string[] {
  const moves = steps.filter((step) => step.do === "migrateSlots");
  if (moves.length === 0 || (maxKeysPerSecond === undefined && until === undefined)) return [];
  const { slots, keys } = amountOf(moves, observation);
  const amount = `${slots.toLocaleString("en-US")} slots with about ${keys.toLocaleString("en-US")} keys`;
  const rate =
    maxKeysPerSecond === undefined
      ? []
      : [
          `no more than ${maxKeysPerSecond.toLocaleString("en-US")} keys a second, so about ${duration(keys / maxKeysPerSecond)} at the least`,
        ];
  const stop =
    until === undefined
      ? []
      : [
          `until ${until}; what has not moved by then stays where it is, \`up\` ends saying so, and the next one goes on`,
        ];
  return [`moves: ${[amount, ...rate, ...stop].join(" · ")}`];
}
