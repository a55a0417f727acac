import { isDeepStrictEqual } from "node:util";
import type { TlsIdentity } from "../access/types";
import {
  type AuthorityRecord,
  type CertificatesInputs,
  type CertificateTable,
  DAY_MILLISECONDS,
  isTable,
  type MadeCertificate,
  type NodeNames,
  type NoTable,
  nearsItsEnd,
} from "./certificates";
import { type CertificateProblem, checkInputs } from "./checkGiven";
import { nextAuthorities, TooManyAuthorities } from "./nextAuthorities";
import { ownEntry } from "./ownEntry";
import { keyPemOf, onlyCertificates, readCertificate, readKey, sameAddress } from "./pem";
import { issueCertificate } from "./x509";

/** How many certificates of one authority are kept for a node: one that it should have, and one that it may still have. */
const KEPT_OF_EACH = 2;

/**
 * What holds from now on, given the inputs of the last run (empty for a new cluster). The very same table where nothing is to be done: then
 * nothing is signed, and nothing loaded for it. With problems, the table of before.
 * @param shown generation of the authority whose certificates nodes were last proved to show. Default: not known
 */
export async function nextTable(
  old: Partial<CertificatesInputs>,
  inputs: CertificatesInputs,
  now: Date,
  shown?: number,
): Promise<{ readonly table: CertificateTable | NoTable; readonly problems: readonly CertificateProblem[] }> {
  const before = isTable(old.table) ? old.table : undefined;
  const problems = checkInputs(inputs, now);
  if (problems.length > 0) return { table: before ?? {}, problems };
  const next = await nextAuthorities(old, inputs, now, shown).catch((error: unknown) => {
    if (error instanceof TooManyAuthorities) return error;
    throw error;
  });
  if (next instanceof Error) return { table: before ?? {}, problems: [tooMany(next, old, inputs)] };
  const { authorities, generations } = next;
  const rotates = before !== undefined && old.rotation !== inputs.rotation;
  const nextOf = (kept: readonly MadeCertificate[] | undefined, subject: Subject) =>
    nextCertificates(renumbered(kept ?? [], generations), subject, { authorities, rotates, days: inputs.days, now });
  const nodes: Record<string, readonly MadeCertificate[]> = {};
  for (const [name, names] of Object.entries(inputs.nodes).sort(byName)) {
    const given = ownEntry(inputs.given.nodes, name);
    const wasGiven = ownEntry(old.given?.nodes, name);
    const lingering = toldNames(ownEntry(old.nodes, name));
    const subject = { name, names, lingering, usage: "node" as const, given, wasGiven };
    nodes[name] = await nextOf(ownEntry(before?.nodes, name), subject);
  }
  const clients: Record<string, readonly MadeCertificate[]> = {};
  for (const name of [...inputs.clients].sort()) {
    const given = ownEntry(inputs.given.clients, name);
    const wasGiven = ownEntry(old.given?.clients, name);
    const names = { addresses: [], dnsNames: [] };
    const subject = { name, names, lingering: [], usage: "client" as const, given, wasGiven };
    clients[name] = await nextOf(ownEntry(before?.clients, name), subject);
  }
  const table = { authorities, nodes, clients };
  return { table: before && isDeepStrictEqual(before, table) ? before : table, problems: [] };
}

function tooMany(
  { message }: TooManyAuthorities,
  { authorityRotation = "" }: Partial<CertificatesInputs>,
  { given }: CertificatesInputs,
): CertificateProblem {
  const isGiven = given.authority !== undefined || given.caCertificatePem !== undefined;
  const [what, former] = isGiven
    ? ["tls.authority", "the authority of before"]
    : ["tls.authorityRotation", JSON.stringify(authorityRotation)];
  return {
    property: isGiven ? "given" : "authorityRotation",
    reason: `${what}: ${message}; declare ${former} again, and run \`up\` until caCertificatePem holds one authority, tls.overlapSeconds apart, before the next`,
  };
}

interface Subject {
  readonly name: string;
  readonly names: NodeNames;
  /** Host names that others were told to come by until now: clients may hold them for a while. */
  readonly lingering: readonly string[];
  readonly usage: "node" | "client";
  readonly given: TlsIdentity | undefined;
  readonly wasGiven: TlsIdentity | undefined;
}

interface Standing {
  /** The latest first. */
  readonly authorities: readonly AuthorityRecord[];
  readonly rotates: boolean;
  readonly days: CertificatesInputs["days"];
  readonly now: Date;
}

/** Of each authority in turn: the certificate that is to be used, and the one before. */
async function nextCertificates(
  kept: readonly MadeCertificate[],
  subject: Subject,
  standing: Standing,
): Promise<MadeCertificate[]> {
  const { authorities } = standing;
  const [latest] = authorities;
  const next: MadeCertificate[] = [];
  for (const authority of authorities) {
    const ofIt = kept.filter((one) => one.authority === authority.generation);
    const [current] = ofIt;
    const made =
      subject.given && authority === latest
        ? taken(subject.given, authority)
        : canSign(authority, standing.now) && isDue(current, authority, subject, standing)
          ? await issued(authority, subject, standing)
          : undefined;
    const all = made && !isDeepStrictEqual(made, current) ? [made, ...ofIt] : ofIt;
    next.push(...all.slice(0, KEPT_OF_EACH));
  }
  // The same one may come from two authorities where what was given of them changed: the latest counts.
  return next.filter((one, i) => next.findIndex(({ fingerprint }) => fingerprint === one.fingerprint) === i);
}

function canSign({ keyPem, notAfter }: AuthorityRecord, now: Date): boolean {
  return keyPem !== undefined && Date.parse(notAfter) > now.getTime();
}

function isDue(
  current: MadeCertificate | undefined,
  authority: AuthorityRecord,
  { names, wasGiven, given }: Subject,
  { rotates, days, now }: Standing,
): boolean {
  if (!current || rotates) return true;
  // Who takes back what was given may know why.
  if (wasGiven && !given && readCertificate(wasGiven.certificatePem).fingerprint === current.fingerprint) return true;
  if (!hasNames(current, names)) return true;
  if (!nearsItsEnd(current, days.renewBefore, now)) return false;
  const end = Date.parse(current.notAfter);
  const possible = Math.min(now.getTime() + days.certificate * DAY_MILLISECONDS, Date.parse(authority.notAfter));
  // Near the authority's end another one would end as soon, and each run would make it.
  return end <= now.getTime() || possible - end >= DAY_MILLISECONDS;
}

/** Host names that others were told to come by may be in it beside those that are declared: until it is renewed they stay. */
function hasNames({ certificatePem, told = [] }: MadeCertificate, names: NodeNames): boolean {
  const { addresses, dnsNames } = readCertificate(certificatePem);
  const declared = names.dnsNames.map((name) => name.toLowerCase());
  const beside = dnsNames.filter((name) => told.includes(name));
  return sameSet(addresses, names.addresses.map(sameAddress)) && sameSet([...dnsNames], [...declared, ...beside]);
}

/** Of what is declared of a node: host names that others are told to come by. */
function toldNames({ dnsNames = [], required = [] }: Partial<NodeNames> = {}): string[] {
  return dnsNames.filter((name) => required.includes(name)).map((name) => name.toLowerCase());
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return isDeepStrictEqual(new Set(a), new Set(b));
}

async function issued(authority: AuthorityRecord, subject: Subject, { days, now }: Standing): Promise<MadeCertificate> {
  const { certificatePem, keyPem = "", generation } = authority;
  const { name, names, lingering, usage } = subject;
  const told = [...new Set([...toldNames(names), ...lingering])];
  const identity = await issueCertificate(
    { certificatePem, keyPem },
    {
      commonName: name,
      addresses: [...new Set(names.addresses.map(sameAddress))],
      dnsNames: [...new Set([...names.dnsNames.map((one) => one.toLowerCase()), ...told])],
      usage,
      days: days.certificate,
      now,
    },
  );
  return { ...recorded(identity, generation), ...(told.length > 0 ? { told } : {}) };
}

/** As it was handed in, in the forms that everything else has here. */
function taken({ certificatePem, keyPem }: TlsIdentity, { generation }: AuthorityRecord): MadeCertificate {
  return recorded({ certificatePem: onlyCertificates(certificatePem), keyPem: keyPemOf(readKey(keyPem)) }, generation);
}

function recorded(identity: TlsIdentity, authority: number): MadeCertificate {
  const { fingerprint, notBefore, notAfter } = readCertificate(identity.certificatePem);
  return { ...identity, fingerprint, notBefore, notAfter, authority };
}

function renumbered(
  kept: readonly MadeCertificate[],
  generations: ReadonlyMap<number, number>,
): readonly MadeCertificate[] {
  return kept.map((one) => {
    const authority = generations.get(one.authority);
    return authority === undefined ? one : { ...one, authority };
  });
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
