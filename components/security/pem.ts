import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { isIPv6 } from "node:net";

/** What a certificate says of itself. */
export interface CertificateFacts {
  /** SHA-256 of its DER, 64 hex digits in lower case. */
  readonly fingerprint: string;
  /** Empty where it has none. */
  readonly commonName: string;
  /** ISO 8601, UTC. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Subject alternative names: IPv4, and IPv6 in its shortest form. */
  readonly addresses: readonly string[];
  /** In lower case. */
  readonly dnsNames: readonly string[];
  /** Whether it may sign others. */
  readonly isAuthority: boolean;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/;
const ENCRYPTED = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: *4, *ENCRYPTED/m;

/**
 * Reads the first certificate of a PEM text.
 * @throws Error that says why it cannot, and shows nothing of the text
 */
export function readCertificate(pem: string): CertificateFacts {
  // There is one at least, or it would have thrown.
  return factsOf(readCertificates(pem)[0] as X509Certificate);
}

/**
 * All certificates of a PEM text, one at least.
 * @throws Error that says why it cannot, and shows nothing of the text
 */
export function readCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw new Error(whyNoCertificate(pem));
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch {
      const which = blocks.length === 1 ? "the certificate in it" : `certificate ${i + 1} of ${blocks.length} in it`;
      throw new Error(`is PEM, but ${which} cannot be read; give it as it was issued, unchanged`);
    }
  });
}

function whyNoCertificate(pem: string): string {
  const wanted = "give a certificate as PEM, which begins with -----BEGIN CERTIFICATE-----";
  if (pem.trim() === "") return `is empty; ${wanted}`;
  if (holdsKey(pem)) return `is a private key, which nobody else may see; ${wanted}`;
  const [, other] = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem) ?? [];
  return other ? `is PEM of another kind, ${other}; ${wanted}` : `is not PEM; ${wanted}`;
}

export function factsOf(certificate: X509Certificate): CertificateFacts {
  const names = subjectNames(certificate.subjectAltName ?? "");
  const commonName: unknown = certificate.toLegacyObject().subject?.CN;
  return {
    fingerprint: fingerprintOf(certificate),
    commonName: Array.isArray(commonName) ? String(commonName[0]) : String(commonName ?? ""),
    notBefore: startOf(certificate).toISOString(),
    notAfter: endOf(certificate).toISOString(),
    addresses: names.flatMap(([kind, name]) => (kind === "IP Address" ? [sameAddress(name)] : [])),
    dnsNames: names.flatMap(([kind, name]) => (kind === "DNS" ? [name.toLowerCase()] : [])),
    isAuthority: certificate.ca,
  };
}

export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(":", "").toLowerCase();
}

export function startOf(certificate: X509Certificate): Date {
  return new Date(certificate.validFrom);
}

export function endOf(certificate: X509Certificate): Date {
  return new Date(certificate.validTo);
}

/** Node quotes, as JSON, a name that could be mistaken for several. */
function subjectNames(text: string): [kind: string, name: string][] {
  return [...text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(([, kind = "", name = ""]) => [
    kind,
    name.startsWith('"') ? String(JSON.parse(name)) : name,
  ]);
}

/** One spelling for each IPv6 address, its shortest; anything else as it is. */
export function sameAddress(address: string): string {
  return isIPv6(address) && !address.includes("%") ? new URL(`http://[${address}]/`).hostname.slice(1, -1) : address;
}

/** The certificates alone, each once, without what stands between them. */
export function onlyCertificates(pem: string): string {
  return [...new Map(readCertificates(pem).map((one) => [one.fingerprint256, pemOf(one)])).values()].join("");
}

/** Ends with a line break, so that texts can follow each other. */
export function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString().trim()}\n`;
}

export function holdsKey(pem: string): boolean {
  return KEY.test(pem);
}

/**
 * A private key of PEM: PKCS#8, SEC1 or PKCS#1, not encrypted.
 * @throws Error that says why it cannot, and shows nothing of the text
 */
export function readKey(pem: string): KeyObject {
  const wanted = "give a private key as PEM, which begins with -----BEGIN PRIVATE KEY-----";
  if (pem.trim() === "") throw new Error(`is empty; ${wanted}`);
  if (ENCRYPTED.test(pem))
    throw new Error(
      "is encrypted, and nodes have nobody to ask for its passphrase; give it decrypted (openssl pkey), as a secret",
    );
  if (!holdsKey(pem)) {
    const [, other] = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem) ?? [];
    throw new Error(`is ${other ? `PEM of another kind, ${other}` : "not PEM"}; ${wanted}`);
  }
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error("is PEM, but the key in it cannot be read; give it as it was made: PKCS#8, SEC1 or PKCS#1");
  }
}

export function keyPemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
