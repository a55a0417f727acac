import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A certificate with its key, as files and as text. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** Who signs certificates in a test, by the system's openssl: made by somebody else's program than the library's own. */
export class Authority {
  readonly dir: string;
  readonly certificate: Certificate;
  #made = 0;

  constructor(name = "authority") {
    this.dir = mkdtempSync(join(tmpdir(), "prc-certificates-"));
    const extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
    const [certFile, keyFile] = [join(this.dir, "ca.pem"), join(this.dir, "ca.key")];
    openssl("req", "-x509", ...NEW_KEY, "-keyout", keyFile, ...extensions.flatMap((e) => ["-addext", e]), [
      ...["-subj", `/CN=${name}`, "-days", "2", "-out", certFile],
    ]);
    this.certificate = read(certFile, keyFile);
  }

  get caCertificatePem(): string {
    return this.certificate.certificatePem;
  }

  /** `names` as in subjectAltName: `IP:127.0.1.1`, `DNS:node-0.test`. */
  issue(subject: string, names: readonly string[] = []): Certificate {
    const dir = join(this.dir, `${this.#made++}`);
    mkdirSync(dir);
    const [certFile, keyFile, request, extensions] = ["cert.pem", "key.pem", "request.pem", "extensions"].map((file) =>
      join(dir, file),
    ) as [string, string, string, string];
    const lines = ["basicConstraints=CA:FALSE", "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"];
    if (names.length > 0) lines.push(`subjectAltName=${names.join(",")}`);
    writeFileSync(extensions, `${lines.join("\n")}\n`);
    openssl("req", "-new", ...NEW_KEY, "-keyout", keyFile, "-subj", `/CN=${subject}`, "-out", request);
    const by = ["-CA", this.certificate.certFile, "-CAkey", this.certificate.keyFile, "-CAcreateserial"];
    openssl("x509", "-req", "-in", request, ...by, "-extfile", extensions, "-days", "2", "-out", certFile);
    return read(certFile, keyFile);
  }

  dispose(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function openssl(...args: (string | readonly string[])[]): void {
  execFileSync("openssl", args.flat(), { stdio: "pipe" });
}

function read(certFile: string, keyFile: string): Certificate {
  return {
    certFile,
    keyFile,
    certificatePem: readFileSync(certFile, "utf8"),
    keyPem: readFileSync(keyFile, "utf8"),
  };
}
