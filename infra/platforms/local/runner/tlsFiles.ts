import { X509Certificate } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import type { NodeTls } from "../../../../components/cluster/platform";
import type { TlsSettings } from "../../../../components/config/types";
import { FILES, writeAtomic } from "./folder";

/**
 * Puts a node's certificates, keys and what it trusts where its server can load them, and takes away what is neither declared nor
 * loaded any more: keys that nobody needs should not lie around. All for the owner's eyes alone.
 */
export function writeTlsFiles(folder: string, { files }: NodeTls): void {
  const own = path.join(folder, FILES.tls);
  fs.mkdirSync(own, { recursive: true, mode: 0o700 });
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(own, name);
    // What is in a file follows from its name.
    if (!fs.existsSync(file)) writeAtomic(file, text);
  }
  const loaded = Object.values(loadedFiles(folder));
  for (const name of fs.readdirSync(own))
    if (!Object.hasOwn(files, name) && !loaded.includes(name)) fs.rmSync(path.join(own, name), { force: true });
}

/**
 * Which files a server starts with. The first start takes what is declared; from then on certificates are formation's, which loads
 * them in an order in which nodes go on finding each other: so a restart keeps what was loaded, as long as it is of this
 * cluster's life and its time is not over.
 */
export function filesToStartWith(folder: string, { files, first }: NodeTls): TlsSettings {
  const loaded = loadedFiles(folder);
  const isOurs = (name: string) => Object.hasOwn(files, name);
  const keeps = isOurs(loaded.certificate) && isOurs(loaded.key) && !isOver(files[loaded.certificate] ?? "");
  const { certificate, key } = keeps ? loaded : first;
  const trust = keeps && isOurs(loaded.trust) ? loaded.trust : first.trust;
  const at = (name: string) => path.join(folder, FILES.tls, name);
  return { certFile: at(certificate), keyFile: at(key), caFile: at(trust) };
}

/**
 * What a server comes back with instead of what it had loaded: where that is over, or nothing that is known any more, as when an older
 * state was brought back. It may let in nobody who could replace it. Undefined where it keeps what it has.
 */
export function filesInstead(folder: string, tls: NodeTls): TlsSettings | undefined {
  const next = filesToStartWith(folder, tls);
  return path.basename(next.certFile) === loadedFiles(folder).certificate ? undefined : next;
}

/** Names of the files that the last redis.conf has; empty where it has none. CONFIG REWRITE writes what was loaded last. */
function loadedFiles(folder: string): { certificate: string; key: string; trust: string } {
  const file = path.join(folder, FILES.config);
  const text = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";
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
