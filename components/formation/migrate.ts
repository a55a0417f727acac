import { type MigrationContext, type Moved, sourceOf } from "./migrateContext";
import { copyFunctions } from "./migrateFunctions";
import { moveBy, wayFor } from "./migrateWay";
import type { MigrateSlots } from "./rebalance";

export { type MigrationContext, type MigrationWay, type Moved, MoveRefused } from "./migrateContext";

/** Moves slots of one pair for as long as a round may take, in the way that both servers know best. */
export async function migrateSlots(step: MigrateSlots, context: MigrationContext): Promise<Moved> {
  await copyFunctions(step, sourceOf(step, context), context.connections);
  return moveBy(wayFor(step, context), step, context);
}
