import type { NodeEndpoint } from "../config/types";
import { insist, type MigrationContext, MoveRefused } from "./migrateContext";
import type { MigrateSlots } from "./rebalance";
import type { Command } from "./wire";

export interface Twins {
  /** On both ends with the same value: the source's copy may replace the target's. */
  readonly same: readonly Buffer[];
  /** On one end only by now. */
  readonly single: readonly Buffer[];
}

/**
 * A MIGRATE that was interrupted leaves copies on both ends. Equal ones are replaced; a difference is for a person.
 * Compared are the servers' own serialisations: the same bytes for the same value, where both ends run the same version
 * and hold it in the same encoding; where they do not, the answer is "different", which is the safe one.
 * @throws MoveRefused that names the keys that differ
 */
export async function compareTwins(
  step: MigrateSlots,
  slot: number,
  keys: readonly Buffer[],
  source: NodeEndpoint,
  context: MigrationContext,
): Promise<Twins> {
  const here = await insist(
    context,
    source,
    step.node,
    keys.map((key): Command => ["DUMP", key]),
    { binary: true, expected: { DUMP: /^ASK / } },
  );
  // ASKING holds for one command only, so it must not be sent again by itself.
  const there = await context.connections.send(
    step.toEndpoint,
    keys.flatMap((key): Command[] => [["ASKING"], ["DUMP", key]]),
    { binary: true },
  );
  const different: Buffer[] = [];
  const same: Buffer[] = [];
  const single: Buffer[] = [];
  keys.forEach((key, i) => {
    const [a, b] = [here[i], there[2 * i + 1]];
    if (!a || !b?.ok)
      throw new Error(`slot ${slot}: a key that is on ${step.node} and ${step.to} could not be compared`);
    const mine = a.ok ? (a.value as Buffer | null) : null;
    const theirs = b.value as Buffer | null;
    if (mine === null || theirs === null) single.push(key);
    else if (Buffer.compare(mine, theirs) === 0) same.push(key);
    else different.push(key);
  });
  if (different.length === 0) return { same, single };
  const shown = different
    .slice(0, 3)
    .map((k) => JSON.stringify(k.toString()))
    .join(", ");
  throw new MoveRefused({
    kind: "conflicting-keys",
    subject: step.to,
    message: `slot ${slot} cannot move from ${step.node} to ${step.to}: ${different.length} ${different.length === 1 ? "key exists" : "keys exist"} on both with different values (${shown}${different.length > 3 ? ", …" : ""})`,
    remedy: "compare them, delete the wrong copy by hand (on the target after ASKING), and run `up` again",
  });
}
