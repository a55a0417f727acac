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
  /** @returns undefined where it cannot be done after all, and the classic way has to */
  readonly move: (step: MigrateSlots, context: MigrationContext) => Promise<Moved | undefined>;
}

const atLeast = (server: Server, name: Server["name"], major: number, minor = 0) => {
  const [a = 0, b = 0] = server.version.split(".").map(Number);
  return server.name === name && (a > major || (a === major && b >= minor));
};

/**
 * Every way there is, the preferred first. A way that the target drives (`CLUSTER MIGRATION IMPORT`, Redis 8.4 and later) has
 * its place before `classic`: it suits where both ends are `atLeast(server, "redis", 8, 4)`.
 *
 * Atomic is preferred where there is a choice (`npm run bench -- migration --server valkey-9.1`): ten times as many keys a
 * second as the classic way and more, so that clients are disturbed for a tenth of the time, and half-moved slots with their
 * redirections, retried multi-key commands and open ends after a crash do not exist. The price is one pause a pair while
 * ownership changes: 100 to 200 ms on a busy machine of two cores, where the classic way's longest is 80 to 150.
 */
const STRATEGIES: Readonly<Record<MigrationWay, Strategy>> = {
  atomicFromSource: {
    suits: (from, to) => atLeast(from, "valkey", 9) && atLeast(to, "valkey", 9),
    move: migrateFromSource,
  },
  classic: { suits: () => true, move: migrateClassic },
};

/** How slots of one pair move: what was asked for, else the first way that both servers know. */
export function wayFor(step: MigrateSlots, { servers, way }: Pick<MigrationContext, "servers" | "way">): MigrationWay {
  if (way !== undefined) return way;
  const [from, to] = [servers[step.node], servers[step.to]];
  const ways = Object.keys(STRATEGIES) as MigrationWay[];
  return ways.find((name) => from && to && STRATEGIES[name].suits(from, to)) ?? "classic";
}

export async function moveBy(way: MigrationWay, step: MigrateSlots, context: MigrationContext): Promise<Moved> {
  return (await STRATEGIES[way].move(step, context)) ?? (await migrateClassic(step, context));
}
