import type { X509Certificate } from "node:crypto";

/**
 * The first certificate and, upwards, those that signed it, as far as they are there. Where the last one did not sign itself, somebody is
 * missing.
 */
export function chainOf(certificates: readonly X509Certificate[]): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next = certificates[0];
  while (next && !chain.includes(next)) {
    const current: X509Certificate = next;
    chain.push(current);
    next = isRoot(current) ? undefined : certificates.find((one) => one !== current && signed(one, current));
  }
  return chain;
}

/** Whether a certificate was signed by another one: by name, by what that may do, and by its signature. */
export function signed(authority: X509Certificate, certificate: X509Certificate): boolean {
  try {
    return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  } catch {
    // A signature of a kind that is not the key's.
    return false;
  }
}

export function isRoot(certificate: X509Certificate): boolean {
  return signed(certificate, certificate);
}
