import { migrateFromSource } from "./migrateAtomic";
import { migrateClassic } from "./migrateClassic";
import type { MigrationContext, MigrationWay, Moved } from "./migrateContext";
import type { AnsweringNode } from "./observation";
import type { MigrateSlots } from "./rebalance";

type Server = AnsweringNode["server"];

/** One way to move slots of a pair for one round. */
interface Strategy {
  /** Whether two servers can do it together. */
  readonly suits: (from: Server, to: Server) => boolean;
  /** Whether it can keep to a declared rate of keys. */
  readonly paced: boolean;
  /** @returns undefined where it cannot be done after all, and the classic way has to */
  readonly move: (step: MigrateSlots, context: MigrationContext) => Promise<Moved | undefined>;
}

const atLeast = (server: Server, name: Server["name"], major: number, minor = 0) => {
  const [a = 0, b = 0] = server.version.split(".").map(Number);
  return server.name === name && (a > major || (a === major && b >= minor));
};

/**
 * Every way there is, the preferred first.
 *
 * Atomic is preferred where there is a choice (`npm run bench -- migration`): more than ten times as many keys a second as
 * the classic way, so that clients are disturbed for a tenth of the time, and half-moved slots with their redirections,
 * retried multi-key commands and open ends after a crash do not exist. The price is one pause a pair while ownership
 * changes: 50 to 200 ms on a busy machine of two cores, longer than any of the classic way's on an idle one. Whoever
 * cannot have that declares `migration.maxKeysPerSecond`, which only the classic way can keep to.
 *
 * Redis 8.4 and later have an atomic way of their own, which would stand before `classic` as `atomicFromTarget` and suit where
 * both ends are `atLeast(server, "redis", 8, 4)`. It is driven by the target (`CLUSTER MIGRATION IMPORT start end …`, then
 * `STATUS ID`); a failed import is tried again by the server until it is cancelled (`CANCEL ID`), so its end has to be
 * bounded from here; and any open slot makes it refuse, so those have to be finished first. Not used yet: no Redis 8.4 was at
 * hand to verify any of this with, and what moves data is not written from documents alone.
 */
const STRATEGIES: Readonly<Record<MigrationWay, Strategy>> = {
  atomicFromSource: {
    suits: (from, to) => handsOverAtomically(from) && handsOverAtomically(to),
    paced: false,
    move: migrateFromSource,
  },
  classic: { suits: () => true, paced: true, move: migrateClassic },
};

/** CLUSTER MIGRATESLOTS: Valkey 9 and later. */
export function handsOverAtomically(server: Server): boolean {
  return atLeast(server, "valkey", 9);
}

/** How slots of one pair move: what was asked for, else the first way that both servers know and that keeps to the rate. */
export function wayFor(
  step: MigrateSlots,
  { servers, way, rate }: Pick<MigrationContext, "servers" | "way" | "rate">,
): MigrationWay {
  if (way !== undefined) return way;
  const [from, to] = [servers[step.node], servers[step.to]];
  const ways = Object.keys(STRATEGIES) as MigrationWay[];
  const fits = ({ suits, paced }: Strategy) => from && to && suits(from, to) && (paced || rate.limit === undefined);
  return ways.find((name) => fits(STRATEGIES[name])) ?? "classic";
}

export async function moveBy(way: MigrationWay, step: MigrateSlots, context: MigrationContext): Promise<Moved> {
  return (await STRATEGIES[way].move(step, context)) ?? (await migrateClassic(step, context));
}
