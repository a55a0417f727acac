import { createHash } from "node:crypto";
import type { CertificateTable, IssuedCertificates } from "./certificates";

/** Letters enough that no two certificates of a cluster ever share a name. */
const LETTERS = 16;

/**
 * Names of a node's files follow from what is in them: a file never changes, so what a server has loaded is told by the path
 * that it reports, and loading one thing anew loads nothing else with it.
 */
export function certificateFiles(fingerprint: string): { readonly certificate: string; readonly key: string } {
  const name = `node-${fingerprint.slice(0, LETTERS)}`;
  return { certificate: `${name}.crt`, key: `${name}.key` };
}

/**
 * The file of what a node trusts: this authority and all that came after it. An authority's generation counts too: a bundle from which
 * one certificate was taken may begin with the same one as before.
 */
export function trustFile({ authorities }: Pick<IssuedCertificates, "authorities">, oldest: number): string {
  const trusted = authorities
    .filter(({ generation }) => generation >= oldest)
    .map(({ generation, fingerprint }) => `${generation}:${fingerprint}`);
  return `ca-${createHash("sha256").update(trusted.join()).digest("hex").slice(0, LETTERS)}.crt`;
}

/** Text of what is trusted: this authority and all that came after it. */
export function trustPem({ authorities }: CertificateTable, oldest: number): string {
  return joinPem(authorities.filter(({ generation }) => generation >= oldest).map((a) => a.certificatePem));
}

export function joinPem(texts: readonly string[]): string {
  return texts.map((text) => `${text.trim()}\n`).join("");
}

/** The files of a node's TLS, and those that its first start uses. All of it is secret. */
export interface NodeTlsFiles {
  /** Text by file name. */
  readonly files: Readonly<Record<string, string>>;
  readonly first: { readonly certificate: string; readonly key: string; readonly trust: string };
}

/** Everything that formation may have a node load, and what it starts with: the latest certificate, and every authority that is kept. */
export function filesOf(table: CertificateTable, node: string): NodeTlsFiles {
  const made = table.nodes[node] ?? [];
  const [latest] = made;
  const oldest = table.authorities.at(-1);
  if (!latest || !oldest) throw new Error(`there is no certificate for node ${node}`);
  const certificates = made.flatMap(({ fingerprint, certificatePem, keyPem }) => {
    const { certificate, key } = certificateFiles(fingerprint);
    return [
      [certificate, certificatePem],
      [key, keyPem],
    ];
  });
  const trusted = table.authorities.map(({ generation }) => [
    trustFile(table, generation),
    trustPem(table, generation),
  ]);
  return {
    files: Object.fromEntries([...certificates, ...trusted].sort(([a = ""], [b = ""]) => (a < b ? -1 : 1))),
    first: { ...certificateFiles(latest.fingerprint), trust: trustFile(table, oldest.generation) },
  };
}
