import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import type { Access, TlsAccess } from "../../access/types";
import type { ClusterCredentials } from "../../cluster/inventory";
import type { Console } from "./console";
import { UsageError } from "./verb";

/** How a verb is told how to log in; the same for every verb. The names of files are those of redis-cli. */
export const ACCESS_OPTIONS = {
  credentials: { type: "string", short: "c" },
  cacert: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
} as const;

export const ACCESS_HELP = [
  "How to log in, the first that is given or found:",
  "  -c, --credentials FILE   what `pulumi stack output credentials --show-secrets --json` printed; - reads it from",
  "                           standard input",
  "  --cacert FILE            speak TLS, and trust this authority; --cert FILE and --key FILE are shown to nodes that ask",
  "  environment              REDIS_CLUSTER_PASSWORD, and REDIS_CLUSTER_USER where it is not the default user",
  "  the stack                its output `credentials`, where `pulumi` knows it",
].join("\n");

export interface AccessOptions {
  readonly credentials?: string | undefined;
  readonly cacert?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/**
 * @param known what the stack says, where it was asked
 * @throws UsageError for options that do not go together; Error for files that cannot be read
 */
export async function readAccess(options: AccessOptions, known: Access | undefined, console: Console): Promise<Access> {
  const { credentials, cacert, cert, key } = options;
  if (credentials !== undefined) {
    for (const name of ["cacert", "cert", "key"] as const)
      if (options[name] !== undefined) throw new UsageError(`--credentials and --${name} exclude each other`);
    const given = credentials === "-" ? await text(process.stdin) : await readPem("credentials", credentials, console);
    return accessOfCredentials(given, credentials === "-" ? "standard input" : credentials);
  }
  if (cacert === undefined && (cert !== undefined || key !== undefined))
    throw new UsageError(`--${cert === undefined ? "key" : "cert"} goes with --cacert FILE`);
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--cert and --key go together");
  const { REDIS_CLUSTER_USER: username, REDIS_CLUSTER_PASSWORD: password } = console.env;
  const login = password ? { ...(username ? { username } : {}), password } : undefined;
  const tls = cacert === undefined ? undefined : await tlsOf(cacert, cert, key, console);
  return { ...(login ?? known), ...(tls ? { tls } : {}) };
}

async function tlsOf(
  cacert: string,
  cert: string | undefined,
  key: string | undefined,
  console: Console,
): Promise<TlsAccess> {
  const caCertificatePem = await readPem("cacert", cacert, console);
  if (cert === undefined || key === undefined) return { caCertificatePem };
  const identity = {
    certificatePem: await readPem("cert", cert, console),
    keyPem: await readPem("key", key, console),
  };
  return { caCertificatePem, identities: [identity] };
}

async function readPem(option: string, file: string, console: Console): Promise<string> {
  try {
    return await readFile(resolve(console.cwd, file), "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(`--${option}: cannot read ${file}: ${code === "ENOENT" ? "there is no such file" : message}`);
  }
}

/** The operator's login where there is one, else the one that there is. @throws Error where the text is no credentials; shows nothing of it */
export function accessOfCredentials(json: string, source: string): Access {
  let value: Partial<ClusterCredentials>;
  try {
    value = JSON.parse(json) as Partial<ClusterCredentials>;
  } catch {
    throw new Error(
      `${source} is not JSON; it should hold the stack's output \`credentials\`, as \`pulumi stack output credentials --show-secrets --json\` prints it`,
    );
  }
  if (typeof value !== "object" || value === null || typeof value.username !== "string")
    throw new Error(
      `${source} holds no credentials; it should hold the stack's output \`credentials\`, as \`pulumi stack output credentials --show-secrets --json\` prints it`,
    );
  const { admin, username, password, tls } = value;
  const login = admin ?? (password === undefined ? {} : { username, password });
  if (!tls) return login;
  const { caCertificatePem, certificatePem, keyPem } = tls;
  const own = tls.admin ?? (certificatePem && keyPem ? { certificatePem, keyPem } : undefined);
  return { ...login, tls: { caCertificatePem, ...(own ? { identities: [own] } : {}) } };
}
