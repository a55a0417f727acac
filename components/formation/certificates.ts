import { basename, dirname } from "node:path";
import type { ShownCertificate } from "../access/reach";
import type { IssuedCertificates } from "../security/certificates";
import { certificateFiles, trustFile } from "../security/files";
import type { AnsweringNode } from "./observation";
import type { Step } from "./steps";

/** What every node is to trust and to show. */
export interface CertificatesGoal {
  readonly issued: IssuedCertificates;
  /** Generation of the authority whose certificates nodes show. */
  readonly shown: number;
  /** The oldest authority that is trusted; all later ones are too. */
  readonly oldest: number;
  /** How long clients have between two stages of a change of authority. */
  readonly overlapSeconds: number;
}

/** Certificates as they were last proved to be loaded on every node. Plain: it tells nothing that is secret. */
export interface CertificatesInForce {
  /** Whose certificates every node shows, and since when: ISO 8601. */
  readonly shown: { readonly generation: number; readonly since: string };
  /** The next authority to be shown, which every node trusts, and since when; the latest where none is on its way. */
  readonly trusted: { readonly generation: number; readonly since: string };
  /** The oldest authority that is trusted. */
  readonly oldest: number;
  /** When the first of the nodes' certificates ends. */
  readonly certificatesExpire: string;
  readonly authorityExpires: string;
}

/** The files that a node has loaded, by the paths that it reports, and what it shows. */
export interface ObservedCertificates {
  readonly certificateFile: string;
  readonly trustFile: string;
  readonly shown: ShownCertificate | undefined;
}

/**
 * What is to be loaded at a time. Another authority comes in three stages, so that no client has to know it before it could: every node
 * trusts it beside the former; then nodes show its certificates; then the former is trusted no more. A stage follows once the one
 * before was proved on every node for as long as the overlap. With `now` absent none follows. Certificates that are over are waited for by
 * nobody: then the latest are shown at once.
 */
export function certificatesGoal(
  issued: IssuedCertificates,
  overlapSeconds: number,
  inForce: CertificatesInForce | undefined,
  now?: number,
): CertificatesGoal {
  const kept = issued.authorities.map(({ generation }) => generation);
  const latest = Math.max(...kept);
  if (!inForce) return { issued, shown: latest, oldest: latest, overlapSeconds };
  const isOver = (since: string) => now !== undefined && now >= new Date(since).getTime() + overlapSeconds * 1000;
  const { shown, trusted, oldest } = inForce;
  const isKept = (generation: number) => kept.includes(generation);
  // Not only the latest: who changes authorities faster than a change takes still comes forward with every run.
  const next = isOver(trusted.since) ? Math.max(trusted.generation, shown.generation) : shown.generation;
  const least = isOver(shown.since) ? Math.max(oldest, shown.generation) : oldest;
  return {
    issued,
    shown: isKept(next) && !areOver(issued, next, now) ? next : latest,
    oldest: kept.filter((generation) => generation >= least).sort((a, b) => a - b)[0] ?? latest,
    overlapSeconds,
  };
}

/** Where a change of authority stands. */
export interface AuthorityChange {
  /** How many of its three stages are done. */
  readonly stage: number;
  /** The first `up` from then on takes the next one: ISO 8601. */
  readonly nextFrom: string;
}

/** Undefined where none is under way. */
export function authorityChange(
  { shown, trusted, oldest }: CertificatesInForce,
  overlapSeconds: number,
): AuthorityChange | undefined {
  const from = (since: string) => new Date(new Date(since).getTime() + overlapSeconds * 1000).toISOString();
  if (trusted.generation > shown.generation) return { stage: 1, nextFrom: from(trusted.since) };
  return shown.generation > oldest ? { stage: 2, nextFrom: from(shown.since) } : undefined;
}

/** Whether a node has nothing better of this authority than what is over: its own time is too, or nobody can sign for it. */
function areOver({ nodes }: IssuedCertificates, generation: number, now: number | undefined): boolean {
  if (now === undefined) return false;
  return Object.values(nodes).some((made) => {
    const of = made.find(({ authority }) => authority === generation);
    return of !== undefined && Date.parse(of.notAfter) <= now;
  });
}

/** What the run that just ended well has proved. */
export function provedCertificates(
  goal: CertificatesGoal,
  inForce: CertificatesInForce | undefined,
  ended: number,
): CertificatesInForce {
  const now = new Date(ended).toISOString();
  const latest = Math.max(...goal.issued.authorities.map(({ generation }) => generation));
  const since = (before: { readonly generation: number; readonly since: string } | undefined, generation: number) =>
    before?.generation === generation ? before : { generation, since: now };
  const ends = Object.keys(goal.issued.nodes).flatMap((node) => wanted(goal, node)?.notAfter ?? []);
  return {
    shown: since(inForce?.shown, goal.shown),
    // The time of one that is on its way to be shown goes on, whatever comes after it.
    trusted: inForce && inForce.trusted.generation > goal.shown ? inForce.trusted : since(inForce?.trusted, latest),
    oldest: goal.oldest,
    certificatesExpire: ends.sort()[0] ?? "",
    authorityExpires: goal.issued.authorities.find(({ generation }) => generation === goal.shown)?.notAfter ?? "",
  };
}

/** The certificate that a node is to show: the latest of the authority that is shown. */
function wanted({ issued, shown }: CertificatesGoal, node: string) {
  return issued.nodes[node]?.find(({ authority }) => authority === shown);
}

/** What a node has otherwise than declared, in words; empty where it has all of it. */
export function certificateDifferences(goal: CertificatesGoal, node: AnsweringNode): string[] {
  const { certificates, name } = node;
  const want = wanted(goal, name);
  if (!certificates || !want) return [];
  const words: string[] = [];
  const { shown } = certificates;
  if (shown && shown.fingerprint !== want.fingerprint)
    words.push(`shows a certificate until ${shown.notAfter}, declared is one until ${want.notAfter}`);
  else if (basename(certificates.certificateFile) !== certificateFiles(want.fingerprint).certificate)
    words.push("would come back from a restart with another certificate");
  if (basename(certificates.trustFile) !== trustFile(goal.issued, goal.oldest)) {
    const count = goal.issued.authorities.filter(({ generation }) => generation >= goal.oldest).length;
    words.push(`trusts other authorities than the ${count === 1 ? "one" : count} declared`);
  }
  return words;
}

/**
 * The next steps towards the declared certificates. First every node trusts whatever any of them shows or is to show; only then
 * certificates change; only then trust ends. So nodes find each other at every moment.
 */
export function planCertificates(goal: CertificatesGoal, nodes: readonly AnsweringNode[]): Step[] {
  const { issued } = goal;
  const authorityOf = new Map(
    Object.values(issued.nodes).flatMap((made) => made.map(({ fingerprint, authority }) => [fingerprint, authority])),
  );
  // One that was renewed more than once since is known no more: it may be of any authority.
  const oldest = Math.min(...issued.authorities.map(({ generation }) => generation));
  const inUse = nodes.flatMap(({ certificates }) =>
    certificates?.shown ? (authorityOf.get(certificates.shown.fingerprint) ?? oldest) : [],
  );
  const needed = Math.min(goal.oldest, ...inUse);
  const enough = issued.authorities
    .filter(({ generation }) => generation <= needed)
    .map(({ generation }) => trustFile(issued, generation));
  const loading = (file: string, isLoaded: (loaded: string) => boolean) =>
    nodes.flatMap(({ name, certificates }): Step[] => {
      if (!certificates || isLoaded(basename(certificates.trustFile))) return [];
      const path = `${dirname(certificates.trustFile)}/${file}`;
      return [{ do: "trustAuthorities", node: name, path, count: countFrom(goal, needed) }];
    });
  const stages: (() => Step[])[] = [
    () => loading(trustFile(issued, needed), (loaded) => enough.includes(loaded)),
    () =>
      nodes.flatMap((node): Step[] => {
        const { certificates, name } = node;
        const want = wanted(goal, name);
        if (!certificates || !want) return [];
        const files = certificateFiles(want.fingerprint);
        const isLoaded = basename(certificates.certificateFile) === files.certificate;
        if (isLoaded && (certificates.shown?.fingerprint ?? want.fingerprint) === want.fingerprint) return [];
        const folder = dirname(certificates.certificateFile);
        const paths = { certificatePath: `${folder}/${files.certificate}`, keyPath: `${folder}/${files.key}` };
        return [{ do: "loadCertificate", node: name, ...paths, notAfter: want.notAfter }];
      }),
    () => loading(trustFile(issued, goal.oldest), (loaded) => loaded === trustFile(issued, goal.oldest)),
  ];
  for (const stage of stages) {
    const steps = stage();
    if (steps.length > 0) return steps;
  }
  return [];
}

function countFrom({ issued }: CertificatesGoal, oldest: number): number {
  return issued.authorities.filter(({ generation }) => generation >= oldest).length;
}

/** As a node is that was started with the declared certificates: for previews. */
export function certificatesAsDeclared(goal: CertificatesGoal, node: string): ObservedCertificates | undefined {
  const want = wanted(goal, node);
  if (!want) return undefined;
  return {
    certificateFile: certificateFiles(want.fingerprint).certificate,
    trustFile: trustFile(goal.issued, goal.oldest),
    shown: { fingerprint: want.fingerprint, notAfter: want.notAfter },
  };
}
