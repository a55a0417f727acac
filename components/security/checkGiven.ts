import { isIP } from "node:net";
import type { TlsIdentity } from "../access/types";
import type { CertificatesInputs, GivenCertificates } from "./certificates";
import { checkAuthority, checkIdentity } from "./checkIdentity";
import { ownEntry } from "./ownEntry";
import { onlyCertificates } from "./pem";
import { isDnsName } from "./x509";

/** In the words of Pulumi's check failures. */
export interface CertificateProblem {
  /** Which input. */
  readonly property: "given" | "nodes" | "clients" | "authorityRotation";
  /** Begins with where it stands, as `tls.nodeCertificates.db-0-a.keyPem`. Shows no key. */
  readonly reason: string;
}

/** All that keeps certificates from being made, or from being taken as they were handed in. */
export function checkInputs({ nodes, clients, given }: CertificatesInputs, now: Date): CertificateProblem[] {
  const misplaced = [...checkTexts(given), ...checkWhose(given, Object.keys(nodes), clients)];
  if (misplaced.length > 0) return misplaced.map((reason) => ({ property: "given", reason }));
  const authorityPem = trustedPem(given);
  const ofGiven = [...checkAuthorities(given, now)];
  for (const [name, { addresses, dnsNames, required = [...addresses, ...dnsNames] }] of entries(nodes)) {
    const identity = ownEntry(given.nodes, name);
    const wanted = {
      ...(authorityPem === undefined ? {} : { authorityPem }),
      addresses: required.filter((each) => isIP(each) !== 0),
      dnsNames: required.filter((each) => isIP(each) === 0),
      now,
    };
    if (identity)
      ofGiven.push(...checkIdentity(`tls.nodeCertificates.${name}`, identity, { ...wanted, usage: "node" }));
    else if (cannotSign(given)) ofGiven.push(lacking(`tls.nodeCertificates.${name}`));
  }
  for (const name of clients) {
    const identity = ownEntry(given.clients, name);
    const wanted = { ...(authorityPem === undefined ? {} : { authorityPem }), addresses: [], dnsNames: [], now };
    if (identity)
      ofGiven.push(...checkIdentity(`tls.clientCertificates.${name}`, identity, { ...wanted, usage: "client" }));
    else if (cannotSign(given)) ofGiven.push(lacking(`tls.clientCertificates.${name}`));
  }
  return [...ofGiven.map((reason) => ({ property: "given" as const, reason })), ...checkNames(nodes, clients)];
}

/** What was an output until now may be anything. It is never shown. */
function checkTexts({ authority, caCertificatePem, nodes, clients }: GivenCertificates): string[] {
  const texts = [
    ...(authority === undefined ? [] : partsOf("tls.authority", authority)),
    ...(caCertificatePem === undefined ? [] : [["tls.caCertificatePem", caCertificatePem] as const]),
    ...Object.entries(nodes ?? {}).flatMap(([name, one]) => partsOf(`tls.nodeCertificates.${name}`, one)),
    ...Object.entries(clients ?? {}).flatMap(([name, one]) => partsOf(`tls.clientCertificates.${name}`, one)),
  ];
  return texts.flatMap(([what, text]) =>
    typeof text === "string"
      ? []
      : [`${what}: ${text == null ? "missing" : `got a ${typeof text}`}; must be a string, PEM`],
  );
}

function partsOf(what: string, { certificatePem, keyPem }: TlsIdentity): (readonly [string, unknown])[] {
  return [
    [`${what}.certificatePem`, certificatePem],
    [`${what}.keyPem`, keyPem],
  ];
}

/** Most are typing errors, and one that is ignored silently costs most. */
function checkWhose(given: GivenCertificates, nodes: readonly string[], clients: readonly string[]): string[] {
  const unknown = (record: object | undefined, known: readonly string[]) =>
    Object.keys(record ?? {}).filter((name) => !known.includes(name));
  return [
    ...unknown(given.nodes, nodes).map(
      (name) =>
        `tls.nodeCertificates.${name}: there is no node of that name; use one of ${[...nodes].sort().join(", ")}`,
    ),
    ...unknown(given.clients, clients).map(
      (name) =>
        `tls.clientCertificates.${name}: nobody has that name; use one of ${[...clients].sort().join(", ")}, or add it to tls.clients`,
    ),
  ];
}

function checkAuthorities(given: GivenCertificates, now: Date): string[] {
  const { authority, caCertificatePem, nodes, clients } = given;
  const problems: string[] = [];
  const ca = caCertificatePem === undefined ? [] : checkAuthority("tls", { certificatePem: caCertificatePem }, { now });
  problems.push(...ca.map((problem) => problem.replace(/^tls\.certificatePem/, "tls.caCertificatePem")));
  if (authority) {
    // What is between it and the root may stand in either.
    const certificatePem =
      ca.length > 0 ? authority.certificatePem : `${authority.certificatePem}\n${caCertificatePem ?? ""}`;
    problems.push(...checkAuthority("tls.authority", { ...authority, certificatePem }, { now }));
  }
  const handedIn = Object.keys(nodes ?? {}).length + Object.keys(clients ?? {}).length;
  if (handedIn > 0 && !authority && caCertificatePem === undefined)
    problems.push(
      "tls.caCertificatePem: not given, though certificates are; give the certificate of the authority that signed them",
    );
  return problems;
}

/** Whether certificates are handed in by an authority whose key nobody here has. */
export function cannotSign({ authority, caCertificatePem }: GivenCertificates): boolean {
  return !authority && caCertificatePem !== undefined;
}

/** Everything that is given as an authority, the one that signs first; undefined where nothing is, or it cannot be read. */
export function trustedPem({ authority, caCertificatePem }: GivenCertificates): string | undefined {
  const given = [authority?.certificatePem, caCertificatePem].filter((pem) => pem !== undefined);
  if (given.length === 0) return undefined;
  try {
    return given.map(onlyCertificates).join("");
  } catch {
    // Listed as the authority's own problem.
    return undefined;
  }
}

function lacking(what: string): string {
  return `${what}: no certificate is given, and without the authority's key none can be made; give one, or tls.authority with its key`;
}

function checkNames(nodes: CertificatesInputs["nodes"], clients: readonly string[]): CertificateProblem[] {
  const ofNodes = entries(nodes).flatMap(([name, { addresses, dnsNames }]) => [
    ...addresses
      .filter((address) => isIP(address) === 0 || address.includes("%"))
      .map((address) => `${name}: ${JSON.stringify(address)} is no IP address that a certificate can carry`),
    ...dnsNames
      .filter((dnsName) => !isDnsName(dnsName))
      .map((dnsName) => `${name}: ${JSON.stringify(dnsName)} is no host name that a certificate can carry`),
    ...tooLong(name),
  ]);
  return [
    ...ofNodes.map((reason) => ({ property: "nodes" as const, reason: `${reason}; use another one` })),
    ...clients
      .flatMap(tooLong)
      .map((reason) => ({ property: "clients" as const, reason: `${reason}; use another one` })),
  ];
}

function tooLong(name: string): string[] {
  if (name.length >= 1 && name.length <= 64) return [];
  return [`${JSON.stringify(name)} has ${name.length} characters; a certificate's common name has 1 to 64`];
}

function entries<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}
