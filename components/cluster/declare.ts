import * as pulumi from "@pulumi/pulumi";
import { checkRedisConfig } from "../config";
import { checkCommandRules } from "../config/checkCommandRules";
import { Problems, refuseUnknownKeys } from "../spec/reader";
import type { ClusterSpec, Problem } from "../spec/spec";
import { formatProblems, type PlatformFacts, validateSpec } from "../spec/validate";
import { place } from "../topology/place";
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

/** Certificates for nodes that there are not: a typing error, or a node that has gone. */
function unknownNodes(spec: ClusterSpec, given: TlsMaterial["nodeCertificates"]): Problem[] {
  const problems = new Problems();
  if (typeof given !== "object" || given === null) return [];
  const names = place(spec).shards.flatMap((shard) => shard.nodes.map((node) => node.name));
  refuseUnknownKeys(problems, "tls.nodeCertificates.", given, names);
  return problems.list;
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
  const { spec, completed, problems } = validateSpec(name, args, { ...facts, checkRedisConfig, checkCommandRules });
  const unknown =
    completed.zones.length > 0
      ? unknownNodes(completed, (args as Partial<ClusterArgs> | null)?.tls?.nodeCertificates)
      : [];
  problems.push(...unknown);
  if (!spec || unknown.length > 0) throw new pulumi.RunError(formatProblems(name, problems));
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
