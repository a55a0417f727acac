import * as pulumi from "@pulumi/pulumi";
import { checkRedisConfig } from "../config";
import type { RedisClusterArgs } from "../spec/args";
import type { ClusterSpec, Problem } from "../spec/spec";
import { formatProblems, type PlatformFacts, validateSpec } from "../spec/validate";
import type { Platform } from "./platform";

/** A declaration that passed validation, with the platform to carry it out. */
export interface Declaration {
  readonly spec: ClusterSpec;
  readonly warnings: readonly Problem[];
  /** Names of the arguments that were given, sorted; all others are defaults. */
  readonly given: readonly string[];
  readonly platform: Platform;
}

/**
 * Validates a declaration, all problems at once.
 * @throws pulumi.RunError that lists every problem: what it got, what is allowed, what to do
 */
export function declare(
  name: string,
  args: RedisClusterArgs,
  facts: Omit<PlatformFacts, "checkRedisConfig">,
  platform: (spec: ClusterSpec) => Platform,
): Declaration {
  const { spec, problems } = validateSpec(name, args, { ...facts, checkRedisConfig });
  if (!spec) throw new pulumi.RunError(formatProblems(name, problems));
  const given = Object.entries(args).flatMap(([argument, value]) => (value === undefined ? [] : [argument]));
  return { spec, warnings: problems, given: given.sort(), platform: platform(spec) };
}
