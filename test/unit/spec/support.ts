import type { RedisClusterArgs } from "../../../components/spec/args";
import type { Problem } from "../../../components/spec/spec";
import { formatProblem, type PlatformFacts, type Validation, validateSpec } from "../../../components/spec/validate";

export const facts: PlatformFacts = {
  platform: "local",
  zones: ["zone-a", "zone-b", "zone-c"],
  defaultEngine: { name: "redis", version: "7.0.15" },
  checkRedisConfig: () => [],
};

/** Arguments as plain JavaScript lets them through. */
export function validate(args: unknown, more: Partial<PlatformFacts> = {}, name = "dev"): Validation {
  return validateSpec(name, args as RedisClusterArgs, { ...facts, ...more });
}

export const lines = (problems: readonly Problem[], severity: Problem["severity"]): string[] =>
  problems.filter((problem) => problem.severity === severity).map(formatProblem);
export const errors = (args: unknown, more?: Partial<PlatformFacts>, name?: string): string[] =>
  lines(validate(args, more, name).problems, "error");
export const warnings = (args: unknown, more?: Partial<PlatformFacts>, name?: string): string[] =>
  lines(validate(args, more, name).problems, "warning");
