import * as pulumi from "@pulumi/pulumi";
import { checkRedisConfig } from "../config";
import { checkCommandRules } from "../config/checkCommandRules";
import type { ClusterSpec, Problem } from "../spec/spec";
import { formatProblems, type PlatformFacts, validateSpec } from "../spec/validate";
import type { ClusterArgs, ClusterTlsArgs } from "./args";
import type { Platform } from "./platform";

/** A declaration that passed validation, with the platform to carry it out. */
export interface Declaration {
  readonly spec: ClusterSpec;
  readonly warnings: readonly Problem[];
  /** Names of the arguments that were given, sorted; all others are defaults. */
  readonly given: readonly string[];
  readonly platform: Platform;
  /** Passwords that the program gives, by user. */
  readonly passwords: Readonly<Record<string, pulumi.Input<string>>>;
  /** Certificates and keys that the program gives. */
  readonly tlsMaterial: TlsMaterial;
}

export type TlsMaterial = Pick<
  ClusterTlsArgs,
  "authority" | "caCertificatePem" | "nodeCertificates" | "clientCertificates"
>;

/**
 * Validates a declaration, all problems at once.
 * @throws pulumi.RunError that lists every problem: what it got, what is allowed, what to do
 */
export function declare(
  name: string,
  args: ClusterArgs,
  facts: Omit<PlatformFacts, "checkRedisConfig" | "checkCommandRules">,
  platform: (spec: ClusterSpec) => Platform,
): Declaration {
  const { spec, problems } = validateSpec(name, args, { ...facts, checkRedisConfig, checkCommandRules });
  if (!spec) throw new pulumi.RunError(formatProblems(name, problems));
  const given = Object.entries(args).flatMap(([argument, value]) => (value === undefined ? [] : [argument]));
  const passwords = Object.entries(args.users ?? {}).flatMap(([user, { password }]) =>
    password === undefined ? [] : [[user, password] as const],
  );
  return {
    spec,
    warnings: problems,
    given: given.sort(),
    platform: platform(spec),
    passwords: Object.fromEntries(passwords),
    tlsMaterial: args.tls ?? {},
  };
}
