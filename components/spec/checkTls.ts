import type { RedisClusterArgs, TlsArgs } from "./args";
import { DEFAULTS } from "./defaults";
import {
  checkSecretText,
  type Problems,
  readBoolean,
  readInteger,
  readPositive,
  readSecretObject,
  readText,
  readWord,
  readWords,
  refuseUnknownKeys,
  show,
} from "./reader";
import type { TlsSpec } from "./spec";

/** Client certificates that the component makes in any case: its own, and the one that applications share. */
export const OWN_CLIENT = "admin";
export const SHARED_CLIENT = "client";

const MOST_OVERLAP_SECONDS = 90 * 24 * 3600;
const FEW_DAYS = 7;

const HANDED_IN = ["authority", "caCertificatePem", "nodeCertificates", "clientCertificates"] as const;
const PEM = "PEM, better a secret Output";

/** TLS as declared; undefined where it is off. */
export function checkTls(problems: Problems, args: RedisClusterArgs): TlsSpec | undefined {
  if (args.tls === undefined) return undefined;
  const given: { [K in keyof TlsArgs | HandedIn]?: unknown } = readSecretObject(
    problems,
    "tls",
    args.tls ?? null,
    "{} has a default for everything",
  );
  refuseUnknownKeys(problems, "tls.", given, [...Object.keys(DEFAULTS.tls), "plainPort", "clients", ...HANDED_IN]);
  const text = (name: "rotation" | "authorityRotation") =>
    readText(problems, `tls.${name}`, given[name]) ?? DEFAULTS.tls[name];
  const days = (name: "certificateDays" | "renewBeforeDays" | "authorityDays") =>
    readPositive(problems, `tls.${name}`, given[name], DEFAULTS.tls[name], "use more than 0");
  const spec: TlsSpec = {
    clientAuth: readWord(problems, "tls.clientAuth", given.clientAuth, DEFAULTS.tls.clientAuth, [
      "yes",
      "optional",
      "no",
    ]),
    ...(given.plainPort === undefined
      ? {}
      : {
          plainPort: readInteger(problems, "tls.plainPort", given.plainPort, 0, {
            least: 1,
            use: "use 1 to 65535, or leave it out for none",
            most: 65535,
          }),
        }),
    clients: checkClients(problems, given.clients),
    rotation: text("rotation"),
    authorityRotation: text("authorityRotation"),
    overlapSeconds: readInteger(problems, "tls.overlapSeconds", given.overlapSeconds, DEFAULTS.tls.overlapSeconds, {
      least: 0,
      use: "use 0 (each `up` goes a step further) or more",
      most: MOST_OVERLAP_SECONDS,
    }),
    certificateDays: days("certificateDays"),
    renewBeforeDays: days("renewBeforeDays"),
    authorityDays: days("authorityDays"),
  };
  judgeTimes(problems, spec);
  checkHandedIn(problems, given);
  if (spec.plainPort !== undefined && problems.isSound("tls.plainPort"))
    problems.warn(
      "tls.plainPort",
      "whoever reaches it speaks without TLS; take it out once every client has moved to the port with TLS",
    );
  return readBoolean(problems, "tls.enabled", given.enabled, DEFAULTS.tls.enabled) ? spec : undefined;
}

type HandedIn = (typeof HANDED_IN)[number];

/** Whether certificates and keys are where they belong. What is in them may be known later only, and is judged where they are kept. */
function checkHandedIn(problems: Problems, given: { readonly [K in HandedIn]?: unknown }): void {
  const identity = (property: string, value: unknown) => {
    const of = readSecretObject(problems, property, value ?? null, "{ certificatePem, keyPem }");
    if (!problems.isSound(property)) return;
    refuseUnknownKeys(problems, `${property}.`, of, ["certificatePem", "keyPem"]);
    for (const part of ["certificatePem", "keyPem"] as const)
      checkSecretText(problems, `${property}.${part}`, of[part], PEM);
  };
  if (given.authority !== undefined) identity("tls.authority", given.authority);
  if (given.caCertificatePem !== undefined)
    checkSecretText(problems, "tls.caCertificatePem", given.caCertificatePem, PEM);
  for (const map of ["nodeCertificates", "clientCertificates"] as const) {
    const all = readSecretObject(problems, `tls.${map}`, given[map], "{ name: { certificatePem, keyPem } }");
    for (const [name, value] of Object.entries(all))
      if (value !== undefined) identity(`tls.${map}.${/^[\w.@-]+$/.test(name) ? name : show(name)}`, value);
  }
}

function judgeTimes(problems: Problems, { certificateDays, renewBeforeDays, authorityDays }: TlsSpec): void {
  if (certificateDays < FEW_DAYS)
    problems.warn(
      "tls.certificateDays",
      `${certificateDays} is short: certificates are renewed by \`up\` only, and nodes whose certificates are over do not find each other; use ${FEW_DAYS} or more`,
    );
  if (renewBeforeDays >= certificateDays)
    problems.error(
      "tls.renewBeforeDays",
      `${renewBeforeDays} is as long as certificates are valid (tls.certificateDays: ${certificateDays}), so every \`up\` would renew them; use less`,
    );
  if (authorityDays < 2 * certificateDays)
    problems.error(
      "tls.authorityDays",
      `${authorityDays} is less than two times tls.certificateDays (${certificateDays}): an authority has to outlive what it signs; use ${2 * certificateDays} or more`,
    );
}

function checkClients(problems: Problems, value: unknown): string[] {
  const names = readWords(problems, "tls.clients", value);
  const seen = new Set<string>();
  for (const name of names) {
    if (name === OWN_CLIENT || name === SHARED_CLIENT)
      problems.error(
        "tls.clients",
        `"${name}" is made in any case, ${name === OWN_CLIENT ? "for the component itself" : "for applications that have none of their own"}; use another name`,
      );
    else if (!/^[a-z0-9][a-z0-9_.@-]{0,62}$/i.test(name))
      problems.error(
        "tls.clients",
        `${show(name)} is no name of a client; use up to 63 letters, digits, \`-\`, \`_\`, \`.\` and \`@\`, a letter or digit first`,
      );
    else if (seen.has(name)) problems.error("tls.clients", `"${name}" is there twice; keep one`);
    seen.add(name);
  }
  return [...seen].sort();
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const MOST_NAME = 253;

/** A domain of which nodes announce names; undefined where they announce addresses. */
export function checkDomain(problems: Problems, value: unknown, longestNode: number): string | undefined {
  const domain = readText(problems, "domain", value);
  if (domain === undefined) return undefined;
  const labels = domain.split(".");
  if (!labels.every((label) => LABEL.test(label)))
    problems.error(
      "domain",
      `${show(domain)} is no domain name; use labels of small letters, digits and hyphens with dots between them, such as "redis.internal"`,
    );
  else if (longestNode + 1 + domain.length > MOST_NAME)
    problems.error(
      "domain",
      `is too long: names of nodes below it would have more than ${MOST_NAME} characters; use a shorter one`,
    );
  return domain;
}
