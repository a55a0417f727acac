import type { MigrationArgs } from "./args";
import { type Problems, readInteger, readObject, readText, refuseUnknownKeys } from "./reader";
import type { MigrationLimits } from "./spec";
import { parseUntil, UNTIL_SYNTAX } from "./until";

/** Whether a time has passed is not asked here: what is valid must not depend on when it is looked at. */
export function checkMigration(problems: Problems, value: unknown): MigrationLimits {
  const given: { [K in keyof MigrationArgs]: unknown } = readObject(problems, "migration", value);
  refuseUnknownKeys(problems, "migration.", given, ["maxKeysPerSecond", "until"]);
  const maxKeysPerSecond = readInteger(problems, "migration.maxKeysPerSecond", given.maxKeysPerSecond, 0, {
    least: 1,
    use: "use 1 or more, or leave it out for no limit",
    most: Number.MAX_SAFE_INTEGER,
  });
  const until = readText(problems, "migration.until", given.until);
  const meant = until === undefined ? undefined : parseUntil(until);
  if (typeof meant === "string") problems.error("migration.until", `${meant}; use ${UNTIL_SYNTAX}`);
  return { ...(maxKeysPerSecond > 0 ? { maxKeysPerSecond } : {}), ...(until === undefined ? {} : { until }) };
}
