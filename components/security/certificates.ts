import type { TlsIdentity } from "../access/types";

/** A certificate of a node or client, its private key, and what is said of it without opening it. Times are ISO 8601. */
export interface MadeCertificate extends TlsIdentity {
  /** SHA-256 of the certificate's DER, 64 hex digits in lower case. */
  readonly fingerprint: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Generation of the authority that signed it. */
  readonly authority: number;
  /** Host names that others were told to come by. They stay in it when they are declared no more. Absent: none. */
  readonly told?: readonly string[];
}

/** An authority that nodes and clients are told to believe. */
export interface AuthorityRecord {
  /** Counts the authorities of a cluster, from 1. */
  readonly generation: number;
  /** PEM: the one that signs first, then those that it comes from, up to the root. */
  readonly certificatePem: string;
  /** Absent: certificates are handed in, nothing can be signed. */
  readonly keyPem?: string;
  /** Of the first certificate. */
  readonly fingerprint: string;
  /** When it ends, or an authority that it comes from, where that is earlier. Where nothing can be signed: when the last of them ends. */
  readonly notAfter: string;
}

export interface CertificateTable {
  /** The latest first. */
  readonly authorities: readonly AuthorityRecord[];
  /**
   * By node name; of each the latest first. Of every authority that is kept there is one that is valid for the node's present
   * names, as far as it can sign; and for those that clients may still come by.
   */
  readonly nodes: Readonly<Record<string, readonly MadeCertificate[]>>;
  /** By name, the latest first. */
  readonly clients: Readonly<Record<string, readonly MadeCertificate[]>>;
}

/** As a program declares it: `check` makes it. */
export type NoTable = Readonly<Record<string, never>>;

/** What a node is reached by. */
export interface NodeNames {
  /** IPv4 or IPv6. */
  readonly addresses: readonly string[];
  readonly dnsNames: readonly string[];
  /** Which of them others are told to come by: what a certificate that is handed in has to carry. Default: all of them have to be in that. */
  readonly required?: readonly string[];
}

/** Material that the program hands in. */
export interface GivenCertificates {
  /** Signs certificates. Where it is no root, its PEM goes on with those that it comes from, or `caCertificatePem` has them. */
  readonly authority?: TlsIdentity;
  /** PEM of the authorities that handed-in certificates come from, one after the other. */
  readonly caCertificatePem?: string;
  /** By node name. */
  readonly nodes?: Readonly<Record<string, TlsIdentity>>;
  readonly clients?: Readonly<Record<string, TlsIdentity>>;
}

/** Inputs of the resource that keeps the certificates of a cluster. */
export interface CertificatesInputs {
  readonly cluster: string;
  /** By node name. */
  readonly nodes: Readonly<Record<string, NodeNames>>;
  /** Who gets a client certificate, by name; sorted. */
  readonly clients: readonly string[];
  /** Another text than before renews all certificates of nodes and clients. */
  readonly rotation: string;
  /** Another text than before makes another authority; of no effect on one that is handed in. */
  readonly authorityRotation: string;
  /** How long what is made holds, and how long before its end it is renewed; but never before half of its time is over. */
  readonly days: {
    readonly certificate: number;
    readonly authority: number;
    readonly renewBefore: number;
    readonly renewAuthorityBefore: number;
  };
  /** Handed in; secret as a whole. */
  readonly given: GivenCertificates;
  /** Empty as the program declares it, and made by `check`; secret. */
  readonly table: CertificateTable | NoTable;
}

/** The public part of a table: no key, no PEM. */
export interface IssuedCertificates {
  /** The latest first. */
  readonly authorities: readonly {
    readonly generation: number;
    readonly fingerprint: string;
    readonly notAfter: string;
  }[];
  /** By node name; of each the latest first. */
  readonly nodes: Readonly<
    Record<string, readonly { readonly fingerprint: string; readonly notAfter: string; readonly authority: number }[]>
  >;
}

export function isTable(table: CertificateTable | NoTable | undefined): table is CertificateTable {
  return table !== undefined && Array.isArray(table["authorities"]);
}

export const DAY_MILLISECONDS = 24 * 60 * 60 * 1000;

/** Within so many days of its end, but not before half of its time is over: what holds for a week is not renewed every day. */
export function nearsItsEnd(
  { notBefore, notAfter }: { readonly notBefore: string; readonly notAfter: string },
  renewBeforeDays: number,
  now: Date,
): boolean {
  const half = (Date.parse(notAfter) - Date.parse(notBefore)) / 2;
  return Date.parse(notAfter) - now.getTime() <= Math.min(renewBeforeDays * DAY_MILLISECONDS, half);
}

/** What may be told of a table to anybody. */
export function issuedOf(table: CertificateTable): IssuedCertificates {
  return {
    authorities: table.authorities.map(({ generation, fingerprint, notAfter }) => ({
      generation,
      fingerprint,
      notAfter,
    })),
    nodes: Object.fromEntries(
      Object.entries(table.nodes).map(([name, made]) => [
        name,
        made.map(({ fingerprint, notAfter, authority }) => ({ fingerprint, notAfter, authority })),
      ]),
    ),
  };
}

/** When what is in use ends, as ISO 8601; formers are left out. */
export interface Expiry {
  /** The latest authority. Absent: there is none. */
  readonly authority?: string;
  /** The first of the nodes' latest certificates that ends, and whose it is. Absent: no node has one. */
  readonly certificate?: { readonly node: string; readonly notAfter: string };
}

export function expiryOf({ authorities, nodes }: IssuedCertificates): Expiry {
  const [authority] = authorities;
  const [certificate] = Object.entries(nodes)
    .flatMap(([node, [latest]]) => (latest ? [{ node, notAfter: latest.notAfter }] : []))
    .sort((a, b) => Date.parse(a.notAfter) - Date.parse(b.notAfter) || (a.node < b.node ? -1 : 1));
  return { ...(authority ? { authority: authority.notAfter } : {}), ...(certificate ? { certificate } : {}) };
}
