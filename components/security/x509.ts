import { KeyObject, randomBytes, type X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TlsIdentity } from "../access/types";
import { DAY_MILLISECONDS } from "./certificates";
import { chainOf } from "./chain";
import { x509 } from "./library";
import { endOf, keyPemOf, pemOf, readCertificates, readKey, startOf } from "./pem";
import { type SigningAlgorithm, signingAlgorithmOf } from "./signing";

export { checkAuthority, checkIdentity } from "./checkIdentity";
export { type CertificateFacts, readCertificate } from "./pem";

/** `node`: for who serves and connects, as nodes do among each other. `client`: for who only connects. */
export type CertificateUsage = "node" | "client";

export interface NewAuthority {
  /** At most 64 characters. */
  readonly commonName: string;
  /** How long it holds. */
  readonly days: number;
  readonly now: Date;
}

export interface NewCertificate extends NewAuthority {
  /** IPv4 or IPv6. */
  readonly addresses: readonly string[];
  readonly dnsNames: readonly string[];
  readonly usage: CertificateUsage;
}

/** Clocks of nodes may be behind the one here. */
const SKEW_MILLISECONDS = 60 * 60 * 1000;
/** X.520's bound of a common name. */
const LONGEST_COMMON_NAME = 64;

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { ...CURVE, hash: "SHA-256" };

/**
 * A self-signed authority with a new ECDSA P-256 key, that signs certificates of nodes and clients but no further authority.
 * @throws Error where the name is empty or longer than 64 characters
 */
export async function makeAuthority({ commonName, days, now }: NewAuthority): Promise<TlsIdentity> {
  const library = x509();
  const keys = await newKeys();
  const certificate = await library.X509CertificateGenerator.createSelfSigned({
    name: nameOf(commonName),
    keys,
    serialNumber: newSerial(),
    notBefore: seconds(now.getTime() - SKEW_MILLISECONDS),
    notAfter: seconds(now.getTime() + days * DAY_MILLISECONDS),
    signingAlgorithm: SIGNING,
    extensions: [
      new library.BasicConstraintsExtension(true, 0, true),
      new library.KeyUsagesExtension(library.KeyUsageFlags.keyCertSign | library.KeyUsageFlags.cRLSign, true),
      await library.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: `${certificate.toString("pem")}\n`, keyPem: keyPemOf(KeyObject.from(keys.privateKey)) };
}

/**
 * A certificate with a new ECDSA P-256 key. Its PEM goes on with the authorities between it and the root, for nodes to send. It ends when the
 * first of those does, if that is earlier than `days`.
 * @throws Error, without any key in it, where the authority cannot sign or has ended, or a name is none
 */
export async function issueCertificate(
  authority: TlsIdentity,
  { commonName, addresses, dnsNames, usage, days, now }: NewCertificate,
): Promise<TlsIdentity> {
  const library = x509();
  const certificates = readCertificates(authority.certificatePem);
  const chain = chainOf(certificates);
  const [signer] = chain as [X509Certificate];
  const key = readKey(authority.keyPem);
  if (!signer.checkPrivateKey(key)) throw new Error("the authority's key is not that of its certificate");
  const algorithm = signingAlgorithmOf(key);
  const end = Math.min(now.getTime() + days * DAY_MILLISECONDS, ...chain.map((one) => endOf(one).getTime()));
  if (end <= now.getTime()) throw new Error(`the authority has ended: ${endOf(signer).toISOString()}`);
  const issuer = new library.X509Certificate(signer.raw);
  const keys = await newKeys();
  const { serverAuth, clientAuth } = library.ExtendedKeyUsage;
  const names = [...addresses.map(addressName), ...dnsNames.map(dnsName)];
  const keyIdentifier = issuer.getExtension(library.SubjectKeyIdentifierExtension)?.keyId;
  const certificate = await library.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: nameOf(commonName),
    issuer: issuer.subjectName,
    notBefore: seconds(Math.max(now.getTime() - SKEW_MILLISECONDS, startOf(signer).getTime())),
    notAfter: seconds(end),
    publicKey: keys.publicKey,
    signingKey: await signingKey(key, algorithm),
    signingAlgorithm: algorithm,
    extensions: [
      new library.BasicConstraintsExtension(false, undefined, true),
      new library.KeyUsagesExtension(library.KeyUsageFlags.digitalSignature, true),
      new library.ExtendedKeyUsageExtension(usage === "node" ? [serverAuth, clientAuth] : [clientAuth]),
      ...(names.length === 0 ? [] : [new library.SubjectAlternativeNameExtension(names)]),
      await library.SubjectKeyIdentifierExtension.create(keys.publicKey),
      // What the authority calls its own key, however it came to that.
      keyIdentifier === undefined
        ? await library.AuthorityKeyIdentifierExtension.create(issuer.publicKey)
        : new library.AuthorityKeyIdentifierExtension(keyIdentifier),
    ],
  });
  const between = chain.filter((one) => !one.checkIssued(one)).map(pemOf);
  return {
    certificatePem: `${certificate.toString("pem")}\n${between.join("")}`,
    keyPem: keyPemOf(KeyObject.from(keys.privateKey)),
  };
}

function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(CURVE, true, ["sign", "verify"]);
}

function signingKey(key: KeyObject, algorithm: SigningAlgorithm): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", key.export({ type: "pkcs8", format: "der" }), algorithm, false, ["sign"]);
}

/** As UTF-8 whatever it holds: a text of the library's own grammar would give some characters a meaning. */
function nameOf(commonName: string) {
  if (commonName === "" || commonName.length > LONGEST_COMMON_NAME)
    throw new Error(
      `${JSON.stringify(commonName)} has ${commonName.length} characters; a certificate's common name has 1 to ${LONGEST_COMMON_NAME}`,
    );
  const library = x509();
  return new library.Name([{ CN: [{ utf8String: commonName }] }]);
}

function addressName(value: string) {
  if (isIP(value) === 0 || value.includes("%"))
    throw new Error(`${JSON.stringify(value)} is no IP address that a certificate can carry`);
  return { type: "ip" as const, value };
}

function dnsName(value: string) {
  if (!isDnsName(value)) throw new Error(`${JSON.stringify(value)} is no host name that a certificate can carry`);
  return { type: "dns" as const, value };
}

/** Letters, digits, hyphens and underscores between dots; the first label may be `*`. */
export function isDnsName(value: string): boolean {
  return (
    value.length <= 253 && /^(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i.test(value)
  );
}

/** 126 random bits, never negative and always as long. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** Certificates know no fractions of seconds. */
function seconds(milliseconds: number): Date {
  return new Date(Math.floor(milliseconds / 1000) * 1000);
}
