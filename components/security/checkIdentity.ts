import type { KeyObject, X509Certificate } from "node:crypto";
import type { TlsIdentity } from "../access/types";
import { chainOf, isRoot } from "./chain";
import { endOf, holdsKey, readCertificates, readKey, sameAddress, startOf } from "./pem";
import { signingAlgorithmOf } from "./signing";

export interface WantedIdentity {
  /** PEM of every authority that it may come from. Absent: there is none, which is reported elsewhere. */
  readonly authorityPem?: string;
  readonly addresses: readonly string[];
  readonly dnsNames: readonly string[];
  readonly usage: "node" | "client";
  readonly now: Date;
}

/** OpenSSL, and so the servers, want these by name: `anyExtendedKeyUsage` is not enough for them. */
const USAGES = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;
/** What OpenSSL refuses by default on today's systems. */
const LEAST_RSA_BITS = 2048;

/**
 * What is wrong with a certificate of a node or client that was handed in: all of it, each a sentence that begins with `what` and shows
 * nothing of the key.
 */
export function checkIdentity(what: string, { certificatePem, keyPem }: TlsIdentity, wanted: WantedIdentity): string[] {
  const problems = new Listed(what);
  const certificates = problems.certificates(certificatePem);
  const key = problems.key(keyPem);
  const [leaf] = certificates;
  if (!leaf) return problems.all;
  problems.match(leaf, key);
  problems.strength(leaf);
  if (leaf.ca)
    problems.add(
      "certificatePem",
      `${nameOf(leaf)} is the certificate of an authority; give one for a ${wanted.usage} first, and those of authorities after it`,
    );
  problems.time(leaf, wanted.now);
  if (wanted.authorityPem !== undefined) problems.origin(certificates, wanted.authorityPem, wanted.now);
  const lacking = [
    ...wanted.addresses.filter((address) => !leaf.checkIP(sameAddress(address))),
    ...wanted.dnsNames.filter((name) => !leaf.checkHost(name, { subject: "never" })),
  ];
  if (lacking.length > 0) {
    const has = leaf.subjectAltName ?? "none";
    problems.add(
      "certificatePem",
      `is for other names (${has}); it must have ${lacking.join(", ")} among its subject alternative names: issue it for them too`,
    );
  }
  problems.usage(leaf, wanted.usage);
  return problems.all;
}

/**
 * What is wrong with an authority that was handed in: one that signs where `keyPem` is there, else all that may have signed what nodes
 * show. All of it, each a sentence that begins with `what` and shows nothing of the key.
 */
export function checkAuthority(
  what: string,
  { certificatePem, keyPem }: { readonly certificatePem: string; readonly keyPem?: string | undefined },
  { now }: { readonly now: Date },
): string[] {
  const problems = new Listed(what);
  const certificates = problems.certificates(certificatePem);
  const key = keyPem === undefined ? undefined : problems.key(keyPem);
  const [signer] = certificates;
  if (!signer) return problems.all;
  for (const one of certificates) {
    if (!one.ca)
      problems.add(
        "certificatePem",
        `${nameOf(one)} is no authority (no basicConstraints CA:TRUE, or its key usage lacks keyCertSign); give certificates of authorities only`,
      );
    problems.strength(one);
  }
  if (keyPem === undefined) {
    // Bundles keep what has ended for a while; one that still holds is needed.
    const holding = certificates.filter((one) => whyNotNow(one, now) === undefined);
    if (holding.length === 0)
      problems.add(
        "certificatePem",
        `${certificates.map((one) => `${nameOf(one)} ${whyNotNow(one, now)}`).join(", ")}; give one that holds`,
      );
    for (const one of certificates) problems.root(chainOf([one, ...certificates]));
    return problems.all;
  }
  problems.match(signer, key);
  if (key) {
    try {
      signingAlgorithmOf(key);
    } catch (error) {
      problems.add("keyPem", messageOf(error));
    }
  }
  const chain = chainOf(certificates);
  for (const one of chain) problems.time(one, now);
  problems.root(chain);
  return problems.all;
}

/** Problems of one thing, each said once. */
class Listed {
  readonly #what: string;
  readonly #all = new Set<string>();

  constructor(what: string) {
    this.#what = what;
  }

  get all(): string[] {
    return [...this.#all];
  }

  add(part: "certificatePem" | "keyPem", sentence: string): void {
    this.#all.add(`${this.#what}.${part}: ${sentence}`);
  }

  certificates(pem: string): X509Certificate[] {
    try {
      const certificates = readCertificates(pem);
      if (holdsKey(pem))
        this.add("certificatePem", "has a private key beside the certificate; give the key as keyPem and nowhere else");
      return certificates;
    } catch (error) {
      this.add("certificatePem", messageOf(error));
      return [];
    }
  }

  key(pem: string): KeyObject | undefined {
    try {
      return readKey(pem);
    } catch (error) {
      this.add("keyPem", messageOf(error));
      return undefined;
    }
  }

  match(certificate: X509Certificate, key: KeyObject | undefined): void {
    if (key && !certificate.checkPrivateKey(key))
      this.add("keyPem", `is not the key of ${nameOf(certificate)}; give the one that its certificate was made for`);
  }

  strength(certificate: X509Certificate): void {
    const bits = certificate.publicKey.asymmetricKeyDetails?.modulusLength;
    if (bits !== undefined && bits < LEAST_RSA_BITS)
      this.add(
        "certificatePem",
        `${nameOf(certificate)} has an RSA key of ${bits} bits, which OpenSSL refuses; use ${LEAST_RSA_BITS} or more, or EC`,
      );
  }

  time(certificate: X509Certificate, now: Date): void {
    const why = whyNotNow(certificate, now);
    if (why) this.add("certificatePem", `${nameOf(certificate)} ${why}; give one that holds now`);
  }

  root(chain: readonly X509Certificate[]): void {
    const last = chain.at(-1);
    if (last && !isRoot(last))
      this.add(
        "certificatePem",
        `${nameOf(last)} was signed by ${issuerOf(last)}, whose certificate is missing; add those up to the root, which servers look for`,
      );
  }

  /** From one of the authorities, through those that come with the certificate. */
  origin(certificates: readonly X509Certificate[], authorityPem: string, now: Date): void {
    let authorities: X509Certificate[];
    try {
      authorities = readCertificates(authorityPem);
    } catch {
      // The authority's own problem, and listed there.
      return;
    }
    const chain = chainOf([...certificates, ...authorities]);
    const trusted = new Set(authorities.map((one) => one.fingerprint256));
    const [leaf] = certificates as [X509Certificate];
    if (!chain.some((one) => one !== leaf && trusted.has(one.fingerprint256))) {
      const last = chain.at(-1) ?? leaf;
      this.add(
        "certificatePem",
        isRoot(last) && last === leaf
          ? `${nameOf(leaf)} signed itself; give one that was signed by ${authorities.map(nameOf).join(" or ")}`
          : `${nameOf(last)} was signed by ${isRoot(last) ? "itself" : issuerOf(last)}, and not by ${authorities.map(nameOf).join(" or ")}; give one of theirs, followed by those between them, or add the authority`,
      );
      return;
    }
    for (const one of chain.slice(1)) {
      this.time(one, now);
      if (!one.ca) this.add("certificatePem", `${nameOf(one)} signed another one, but is no authority; leave it out`);
    }
  }

  usage(leaf: X509Certificate, usage: "node" | "client"): void {
    const allowed = leaf.keyUsage;
    if (!allowed) return;
    const wanted = usage === "node" ? (["serverAuth", "clientAuth"] as const) : (["clientAuth"] as const);
    const lacking = wanted.filter((one) => !allowed.includes(USAGES[one]));
    if (lacking.length > 0)
      this.add(
        "certificatePem",
        `its extended key usage lacks ${lacking.join(" and ")}${usage === "node" ? ", and a node serves as well as it connects to others" : ""}; issue it for ${wanted.join(" and ")}`,
      );
  }
}

function whyNotNow(certificate: X509Certificate, now: Date): string | undefined {
  if (now > endOf(certificate)) return `has ended at ${endOf(certificate).toISOString()}`;
  if (now < startOf(certificate)) return `is not valid before ${startOf(certificate).toISOString()}`;
  return undefined;
}

/** `CN=db-0`, in one line. */
function nameOf(certificate: X509Certificate): string {
  return oneLine(certificate.subject) || "a certificate without a subject";
}

function issuerOf(certificate: X509Certificate): string {
  return oneLine(certificate.issuer) || "an authority without a name";
}

function oneLine(name: string | undefined): string {
  return (name ?? "").split("\n").join(", ");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
