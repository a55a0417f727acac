import { type ParseArgsConfig, parseArgs } from "node:util";
import type { Console } from "./console";

export interface Verb {
  readonly name: string;
  /** For the list of verbs: a few words. */
  readonly summary: string;
  readonly help: string;
  /** @returns the exit code @throws Error whose message is one sentence for the user; the exit code is then 2 */
  readonly run: (args: readonly string[], console: Console) => Promise<number>;
}

/** The arguments make no sense. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** @throws UsageError for an unknown option, a missing value or anything that is no option */
export function parseOptions<T extends NonNullable<ParseArgsConfig["options"]>>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values;
  } catch (error) {
    // Node adds advice about `--` and positionals that fits no verb of ours.
    throw new UsageError((error instanceof Error ? error.message : String(error)).split(". ")[0] ?? "");
  }
}
