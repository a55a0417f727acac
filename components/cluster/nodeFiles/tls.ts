import { X509Certificate } from "node:crypto";
import type { TlsSettings } from "../../config/types";
import type { NodeTls } from "../platform";
import { type FileChanges, NODE_FILES, type NodeFolder } from "./folder";

/**
 * A node's certificates, keys and what it trusts, for its server to load; what is neither declared nor loaded any more goes: keys that
 * nobody needs should not lie around.
 */
export function tlsFiles(before: NodeFolder, { files }: Pick<NodeTls, "files">): FileChanges {
  const there = before.list(NODE_FILES.tls);
  const loaded = Object.values(loadedFiles(before));
  // What is in a file follows from its name.
  const missing = Object.entries(files).filter(([name]) => !there.includes(name));
  const over = there.filter((name) => !Object.hasOwn(files, name) && !loaded.includes(name));
  return {
    write: new Map(missing.map(([name, text]) => [inTlsFolder(name), text])),
    remove: over.map(inTlsFolder),
  };
}

/**
 * Which files a server starts with. The first start takes what is declared; from then on certificates are formation's, which loads
 * them in an order in which nodes go on finding each other: so a restart keeps what was loaded, as long as it is of this
 * cluster's life and its time is not over.
 * @param dir the data folder, as the server sees it
 */
export function filesToStartWith(before: NodeFolder, { files, first }: NodeTls, dir: string): TlsSettings {
  const loaded = loadedFiles(before);
  const isOurs = (name: string) => Object.hasOwn(files, name);
  const keeps = isOurs(loaded.certificate) && isOurs(loaded.key) && !isOver(files[loaded.certificate] ?? "");
  const { certificate, key } = keeps ? loaded : first;
  const trust = keeps && isOurs(loaded.trust) ? loaded.trust : first.trust;
  const at = (name: string) => `${dir}/${inTlsFolder(name)}`;
  return { certFile: at(certificate), keyFile: at(key), caFile: at(trust) };
}

/**
 * What a server comes back with instead of what it had loaded: where that is over, or nothing that is known any more, as when an older
 * state was brought back. It may let in nobody who could replace it. Undefined where it keeps what it has.
 */
export function filesInstead(before: NodeFolder, tls: NodeTls, dir: string): TlsSettings | undefined {
  const next = filesToStartWith(before, tls, dir);
  return next.certFile.endsWith(`/${inTlsFolder(loadedFiles(before).certificate)}`) ? undefined : next;
}

function inTlsFolder(name: string): string {
  return `${NODE_FILES.tls}/${name}`;
}

/** Names of the files that the last redis.conf has; empty where it has none. CONFIG REWRITE writes what was loaded last. */
function loadedFiles(before: NodeFolder): { certificate: string; key: string; trust: string } {
  const text = before.read(NODE_FILES.config);
  const of = (directive: string) => {
    // The folders before it may have any character, quoted as the server does it.
    const lines = [...text.matchAll(new RegExp(`^\\s*${directive}\\s+"?(?:.*/)?([^"/\\n]+?)"?\\s*$`, "gm"))];
    return lines.at(-1)?.[1] ?? "";
  };
  return { certificate: of("tls-cert-file"), key: of("tls-key-file"), trust: of("tls-ca-cert-file") };
}

function isOver(pem: string): boolean {
  return new Date(new X509Certificate(pem).validTo).getTime() <= Date.now();
}
