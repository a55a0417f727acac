import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/** OpenSSL with files of its own, by name, which go when the work is done. */
export function withOpenssl<T>(
  files: Readonly<Record<string, string>>,
  work: (openssl: (...args: string[]) => string, read: (name: string) => string) => T,
): T {
  const dir = mkdtempSync(join(tmpdir(), "prc-openssl-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    return work(
      (...args) => execFileSync("openssl", args, { cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
      (name) => readFileSync(join(dir, name), "utf8"),
    );
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A self-signed certificate by OpenSSL, as somebody hands it in. `key` as in `req -newkey`. */
export function opensslAuthority(
  subject: string,
  key: readonly string[] = ["rsa:2048"],
  extra: readonly string[] = [],
) {
  return withOpenssl({}, (openssl, read) => {
    const [newkey = "", ...options] = key;
    openssl(
      ...["req", "-x509", "-newkey", newkey, ...options, "-nodes", "-utf8", "-subj", subject, "-days", "30"],
      ...["-keyout", "key", "-out", "cert", ...extra],
    );
    return { certificatePem: read("cert"), keyPem: read("key") };
  });
}

export const EC: readonly string[] = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/** A certificate that an authority signs by OpenSSL. `extensions` as in a file of extensions. */
export function opensslSigned(
  authority: { readonly certificatePem: string; readonly keyPem: string },
  subject: string,
  extensions: readonly string[],
  { days = 30, key = EC }: { readonly days?: number; readonly key?: readonly string[] } = {},
) {
  const files = { ca: authority.certificatePem, caKey: authority.keyPem, ext: `${extensions.join("\n")}\n` };
  return withOpenssl(files, (openssl, read) => {
    const [newkey = "", ...options] = key;
    openssl("req", "-newkey", newkey, ...options, "-nodes", "-subj", subject, "-keyout", "key", "-out", "csr");
    openssl(
      ...["x509", "-req", "-in", "csr", "-CA", "ca", "-CAkey", "caKey", "-CAcreateserial", "-days", String(days)],
      ...["-extfile", "ext", "-out", "cert"],
    );
    return { certificatePem: read("cert"), keyPem: read("key") };
  });
}

export const AUTHORITY_EXTENSIONS = [
  "basicConstraints=critical,CA:TRUE",
  "keyUsage=critical,keyCertSign,cRLSign",
  "subjectKeyIdentifier=hash",
];
