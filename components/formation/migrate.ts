import type { NodeEndpoint } from "../config/types";
import { expandSlots } from "./slots";
import type { MigrateSlots } from "./rebalance";
import type { Command, Connections } from "./wire";

/** What one round of a move achieved. */
export interface Moved {
  readonly slots: number;
  readonly keys: number;
}

/** Slots of one pair that are open at the same time. More opens more to lose track of and is hardly faster. */
const OPEN_AT_ONCE = 3;
/** Keys in one MIGRATE: it stops source and target for as long as it takes. */
const KEYS_A_MIGRATE = 200;
const MIGRATE_TIMEOUT_MILLISECONDS = 10_000;

export interface MigrationContext {
  readonly connections: Connections;
  readonly endpoints: Readonly<Record<string, NodeEndpoint>>;
  /** Every other master: told of the new owner right away, instead of by gossip. */
  readonly otherMasters: readonly NodeEndpoint[];
  /** Ends the round between two groups of slots. */
  readonly mayGoOn: () => boolean;
}

/** The same key holds different values on both ends: no rule says which one is right. */
export class ConflictingKeys extends Error {
  constructor(step: MigrateSlots, slot: number, keys: readonly string[]) {
    const shown = keys.slice(0, 3).map((k) => JSON.stringify(k)).join(", ");
    super(
      `slot ${slot} cannot move from ${step.node} to ${step.to}: ${keys.length} keys exist on both with different values (${shown}${keys.length > 3 ? ", …" : ""}); ` +
        "compare them, delete the wrong copy by hand (on the target after ASKING), and run `up` again",
    );
    this.name = "ConflictingKeys";
  }
}

/**
 * Moves slots the way every version knows: target IMPORTING, source MIGRATING, keys in batches, then the new owner on the
 * target first (or the cluster is without one if it dies in between), the source, the other masters. Any prefix of this
 * can be carried on by calling it again.
 */
export async function migrateSlots(step: MigrateSlots, context: MigrationContext): Promise<Moved> {
  const slots = expandSlots(step.slots);
  let keys = 0;
  let done = 0;
  await copyFunctions(step, context);
  while (done < slots.length && (done === 0 || context.mayGoOn())) {
    const group = slots.slice(done, done + OPEN_AT_ONCE);
    await open(step, group, context);
    for (const moved of await Promise.all(group.map((slot) => moveKeys(step, slot, context)))) keys += moved;
    await close(step, group, context);
    done += group.length;
  }
  return { slots: done, keys };
}

async function open(step: MigrateSlots, slots: readonly number[], { connections, endpoints }: MigrationContext): Promise<void> {
  const source = endpoints[step.node];
  if (!source) throw new Error(`no endpoint is known for node ${step.node}`);
  await all(connections, step.toEndpoint, slots.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "IMPORTING", step.nodeId]), step.to, /already the owner/i);
  await all(connections, source, slots.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "MIGRATING", step.toId]), step.node, /not the owner/i);
}

async function close(step: MigrateSlots, slots: readonly number[], { connections, endpoints, otherMasters }: MigrationContext): Promise<void> {
  const source = endpoints[step.node];
  const commands = slots.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", step.toId]);
  await all(connections, step.toEndpoint, commands, step.to);
  if (source) await all(connections, source, commands, step.node);
  // The others learn by gossip too; telling them only saves their clients a redirection.
  await Promise.all(otherMasters.map((endpoint) => connections.send(endpoint, commands)));
}

async function moveKeys(step: MigrateSlots, slot: number, { connections, endpoints }: MigrationContext): Promise<number> {
  const source = endpoints[step.node];
  if (!source) throw new Error(`no endpoint is known for node ${step.node}`);
  const { address, port } = step.toEndpoint;
  let moved = 0;
  for (;;) {
    const [answer] = await connections.send(source, [["CLUSTER", "GETKEYSINSLOT", slot, KEYS_A_MIGRATE]], { binary: true });
    if (!answer?.ok) throw new Error(`${step.node} does not list the keys of slot ${slot}: ${answer?.error.message}`);
    const keys = answer.value as Buffer[];
    if (keys.length === 0) return moved;
    const [migrated] = await connections.send(source, [["MIGRATE", address, port, "", 0, MIGRATE_TIMEOUT_MILLISECONDS, "KEYS", ...keys]]);
    if (migrated?.ok) moved += keys.length;
    else if (/BUSYKEY/.test(migrated?.error.message ?? "")) await settleBusyKeys(step, slot, keys, source, connections);
    else throw new Error(`${step.node} could not move keys of slot ${slot} to ${step.to}: ${migrated?.error.message}`);
  }
}

/** A MIGRATE that was interrupted leaves copies on both ends. Equal ones are replaced; a difference is for a person. */
async function settleBusyKeys(step: MigrateSlots, slot: number, keys: readonly Buffer[], source: NodeEndpoint, connections: Connections): Promise<void> {
  const here = await connections.send(source, keys.map((key): Command => ["DUMP", key]), { binary: true });
  const there = await connections.send(step.toEndpoint, keys.flatMap((key): Command[] => [["ASKING"], ["DUMP", key]]), { binary: true });
  const different: Buffer[] = [];
  const same: Buffer[] = [];
  keys.forEach((key, i) => {
    const [a, b] = [here[i], there[2 * i + 1]];
    if (!a?.ok || !b?.ok) throw new Error(`slot ${slot}: a key that is on ${step.node} and ${step.to} could not be compared`);
    if (b.value === null || a.value === null) return;
    if (Buffer.compare(a.value as Buffer, b.value as Buffer) === 0) same.push(key);
    else different.push(key);
  });
  if (different.length > 0) throw new ConflictingKeys(step, slot, different.map((k) => k.toString()));
  const { address, port } = step.toEndpoint;
  if (same.length === 0) return;
  const [replaced] = await connections.send(source, [["MIGRATE", address, port, "", 0, MIGRATE_TIMEOUT_MILLISECONDS, "REPLACE", "KEYS", ...same]]);
  if (!replaced?.ok) throw new Error(`${step.node} could not move keys of slot ${slot} to ${step.to}: ${replaced?.error.message}`);
}

/** Functions belong to nodes, not to slots: a master that comes new has none of them. */
async function copyFunctions(step: MigrateSlots, { connections, endpoints }: MigrationContext): Promise<void> {
  const source = endpoints[step.node];
  if (!source) return;
  const [present] = await connections.send(step.toEndpoint, [["FUNCTION", "LIST"]]);
  if (!present?.ok || !Array.isArray(present.value) || present.value.length > 0) return;
  const [dump] = await connections.send(source, [["FUNCTION", "DUMP"]], { binary: true });
  const [listed] = await connections.send(source, [["FUNCTION", "LIST"]]);
  if (!dump?.ok || !listed?.ok || !Array.isArray(listed.value) || listed.value.length === 0) return;
  const [restored] = await connections.send(step.toEndpoint, [["FUNCTION", "RESTORE", dump.value as Buffer, "APPEND"]]);
  if (restored && !restored.ok && !/already exists/i.test(restored.error.message)) {
    throw new Error(`functions could not be copied from ${step.node} to ${step.to}: ${restored.error.message}`);
  }
}

async function all(connections: Connections, endpoint: NodeEndpoint, commands: readonly Command[], node: string, done?: RegExp): Promise<void> {
  for (const answer of await connections.send(endpoint, commands)) {
    if (!answer.ok && !done?.test(answer.error.message)) throw new Error(`${node}: ${answer.error.message}`);
  }
}
