import { type ChildProcess, execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster, type ClusterOptions, Redis } from "ioredis";
import type { ClusterCredentials, ClusterTlsCredentials } from "../../components/cluster/inventory";

export interface Place {
  readonly address: string;
  readonly port: number;
}

/** How a client of ioredis speaks to nodes: as whom, and under TLS where that is named. */
export interface ClientLogin {
  readonly username?: string;
  readonly password?: string;
  /** Names are checked, as by default: the address, or `servername` instead. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly servername?: string };
}

/** What a client gives to Node's TLS. */
export function clientTls({
  caCertificatePem,
  certificatePem,
  keyPem,
}: Partial<ClusterTlsCredentials>): NonNullable<ClientLogin["tls"]> {
  return {
    ...(caCertificatePem === undefined ? {} : { ca: caCertificatePem }),
    ...(certificatePem === undefined ? {} : { cert: certificatePem }),
    ...(keyPem === undefined ? {} : { key: keyPem }),
  };
}

/** What the cluster's credentials say of how applications log in. */
export function loginOf({ username, password, tls }: ClusterCredentials): ClientLogin {
  return {
    ...(password === undefined ? {} : { username, password }),
    ...(tls ? { tls: clientTls(tls) } : {}),
  };
}

/** The same for operators. */
export function adminLogin({ admin, tls }: ClusterCredentials): ClientLogin {
  return { ...admin, ...(tls ? { tls: clientTls({ ...tls, ...tls.admin }) } : {}) };
}

/** A connection to one node that keeps silent about errors which a test causes on purpose, and is not made again. */
export function nodeClient({ address, port }: Place, login: ClientLogin = {}): Redis {
  const client = new Redis({
    host: address,
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    ...login,
  });
  client.on("error", () => {});
  return client;
}

/** The same, closed after use. @throws Error what the server answers, or how it closes the door */
export async function withNode<T>(
  node: Place,
  use: (client: Redis) => Promise<T>,
  login: ClientLogin = {},
): Promise<T> {
  const client = nodeClient(node, login);
  let cause: Error | undefined;
  client.on("error", (error: Error) => {
    cause = error;
  });
  try {
    // The cause of a failed connection arrives as an event; connect() itself only says "Connection is closed".
    await client.connect().catch((error) => {
      throw cause ?? error;
    });
    return await use(client);
  } finally {
    client.disconnect();
  }
}

/** One command to one node. @throws Error what the server answers, or how it closes the door */
export function ask(
  node: Place,
  login: ClientLogin,
  command: string,
  ...args: (string | number | Buffer)[]
): Promise<unknown> {
  return withNode(node, (client) => client.call(command, ...args), login);
}

/** An ordinary cluster client, which keeps silent about what it tells whoever waits for a command. */
export function clusterClient(
  seeds: readonly Place[],
  login: ClientLogin = {},
  options: Omit<ClusterOptions, "redisOptions"> = {},
): Cluster {
  const client = new Cluster(
    seeds.map(({ address, port }) => ({ host: address, port })),
    { ...options, redisOptions: { disableClientInfo: true, ...login } },
  );
  client.on("error", () => {});
  return client;
}

/** What `redis-cli --cluster check` says, asked at one node. */
export async function redisCliCheck(
  cliPath: string,
  { address, port }: Place,
  login: ClientLogin = {},
): Promise<{ ok: boolean; text: string }> {
  const { text } = await redisCli(cliPath, ["--cluster", "check", `${address}:${port}`], login);
  return {
    ok: /\[OK\] All 16384 slots covered/.test(text) && /\[OK\] All nodes agree about slots configuration/.test(text),
    text,
  };
}

/** What `redis-cli` prints, and its exit code; null where it was ended. @param started for who wants to end it */
export async function redisCli(
  cliPath: string,
  args: readonly string[],
  { username, password, tls }: ClientLogin = {},
  started: (child: ChildProcess) => void = () => {},
): Promise<{ readonly code: number | null; readonly text: string }> {
  const files = tls && tlsFiles(tls);
  const how = [
    ...(username === undefined ? [] : ["--user", username]),
    ...(files ? ["--tls", "--cacert", files.ca] : []),
    ...(files && tls.cert !== undefined ? ["--cert", files.cert, "--key", files.key] : []),
  ];
  const env = { ...process.env, ...(password === undefined ? {} : { REDISCLI_AUTH: password }) };
  try {
    return await new Promise((resolve) => {
      const child = execFile(cliPath, [...how, ...args], { env }, (_error, stdout, stderr) =>
        resolve({ code: child.exitCode, text: stdout + stderr }),
      );
      started(child);
    });
  } finally {
    if (files) rmSync(files.folder, { recursive: true, force: true });
  }
}

/** Commands take no certificates but in files, in a folder that is its user's to remove. */
export function tlsFiles({ ca = "", cert = "", key = "" }: NonNullable<ClientLogin["tls"]>) {
  const folder = mkdtempSync(join(tmpdir(), "prc-tls-"));
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  return { folder, ca: write("ca.pem", ca), cert: write("client.pem", cert), key: write("client.key", key) };
}
