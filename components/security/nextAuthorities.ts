import type { X509Certificate } from "node:crypto";
import {
  type AuthorityRecord,
  type CertificatesInputs,
  type GivenCertificates,
  isTable,
  nearsItsEnd,
} from "./certificates";
import { chainOf } from "./chain";
import { trustedPem } from "./checkGiven";
import { endOf, fingerprintOf, keyPemOf, readCertificate, readCertificates, readKey } from "./pem";
import { makeAuthority } from "./x509";

/** The one that signs what is to be used, and those of before, which a node may still believe and nothing else. */
const KEPT_AUTHORITIES = 3;
/** Leaves room in a common name, which has 64 characters. */
const LONGEST_NAME = 40;

interface Authorities {
  /** The latest first. */
  readonly authorities: readonly AuthorityRecord[];
  /** Former generations of one that came back, and the one that it has now. */
  readonly generations: ReadonlyMap<number, number>;
}

/** One more authority would push out the one whose certificates nodes still show: nobody would get into any node again. */
export class TooManyAuthorities extends Error {
  override name = "TooManyAuthorities";
}

/**
 * Those that hold from now on. The inputs have no problems.
 * @param shown generation of the authority whose certificates nodes were last proved to show. Default: not known
 * @throws TooManyAuthorities where that one would be lost
 */
export async function nextAuthorities(
  old: Partial<CertificatesInputs>,
  inputs: CertificatesInputs,
  now: Date,
  shown?: number,
): Promise<Authorities> {
  const before = isTable(old.table) ? old.table.authorities : [];
  const [latest] = before;
  const generation = (latest?.generation ?? 0) + 1;
  const given = givenAuthority(inputs.given);
  if (given) {
    // The same one in other words, or with a key that was not given before.
    if (latest && isSame(latest, given))
      return { authorities: [{ ...given, generation: latest.generation }, ...before.slice(1)], generations: new Map() };
    return keeping(shown, before, placed({ ...given, generation }, before));
  }
  const isMade = latest !== undefined && givenAuthority(old.given ?? {}) === undefined;
  const isAsked = old.authorityRotation !== inputs.authorityRotation;
  const ends = () => {
    const facts = readCertificate(latest?.certificatePem ?? "");
    return nearsItsEnd(facts, inputs.days.renewAuthorityBefore, now);
  };
  // One that ends by itself has years until then.
  const hasRoom = before.length < KEPT_AUTHORITIES || before.at(-1)?.generation !== shown;
  if (isMade && !isAsked && !(hasRoom && ends())) return { authorities: before, generations: new Map() };
  const commonName = `${inputs.cluster.slice(0, LONGEST_NAME)} authority ${generation}`;
  const made = await makeAuthority({ commonName, days: inputs.days.authority, now });
  const { fingerprint, notAfter } = readCertificate(made.certificatePem);
  return keeping(shown, before, placed({ generation, ...made, fingerprint, notAfter }, before));
}

/** @throws TooManyAuthorities */
function keeping(shown: number | undefined, before: readonly AuthorityRecord[], next: Authorities): Authorities {
  const { authorities, generations } = next;
  const has = (some: readonly AuthorityRecord[]) => some.some(({ generation }) => generation === shown);
  if (shown === undefined || !has(before) || has(authorities) || generations.has(shown)) return next;
  throw new TooManyAuthorities(
    `${before.length - 1} other authorities were declared since the one whose certificates nodes still show, and one more would leave nobody who gets into them`,
  );
}

/** An authority that comes back after others takes what it signed along: a node may have nothing newer. */
function placed(next: AuthorityRecord, before: readonly AuthorityRecord[]): Authorities {
  const returned = before.filter((one) => isSame(one, next));
  return {
    authorities: [next, ...before.filter((one) => !returned.includes(one))].slice(0, KEPT_AUTHORITIES),
    generations: new Map(returned.map((one) => [one.generation, next.generation])),
  };
}

function givenAuthority(given: GivenCertificates): Omit<AuthorityRecord, "generation"> | undefined {
  const certificatePem = trustedPem(given);
  if (certificatePem === undefined) return undefined;
  const certificates = readCertificates(certificatePem);
  const first = certificates[0] as X509Certificate;
  const ends = (some: readonly X509Certificate[]) => some.map((one) => endOf(one).getTime());
  const { authority } = given;
  return {
    certificatePem,
    ...(authority ? { keyPem: keyPemOf(readKey(authority.keyPem)) } : {}),
    fingerprint: fingerprintOf(first),
    notAfter: new Date(
      authority ? Math.min(...ends(chainOf(certificates))) : Math.max(...ends(certificates)),
    ).toISOString(),
  };
}

/** Whether two consist of the same certificates, and the same one signs. */
function isSame(a: Omit<AuthorityRecord, "generation">, b: Omit<AuthorityRecord, "generation">): boolean {
  const all = ({ certificatePem }: { readonly certificatePem: string }) =>
    readCertificates(certificatePem).map(fingerprintOf).sort().join();
  const bothSign = a.keyPem !== undefined && b.keyPem !== undefined;
  return all(a) === all(b) && (!bothSign || a.fingerprint === b.fingerprint);
}
