import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { TlsIdentity } from "../../../components/access/types";
import type { ClusterCredentials, InventoryNode } from "../../../components/cluster/inventory";
import type { CertificateTable } from "../../../components/security/certificates";
import type { Project } from "../../support/project";

type Endpoint = Pick<InventoryNode, "address" | "port">;
export type Tls = NonNullable<ClusterCredentials["tls"]>;

export async function tlsOf(project: Project): Promise<Tls> {
  const { tls } = await project.credentials();
  if (!tls) throw new Error("there are no credentials for TLS");
  return tls;
}

/** What a client gives to Node's TLS: names are checked, as by default. */
export function clientTls({
  caCertificatePem,
  certificatePem,
  keyPem,
}: Partial<Tls>): NonNullable<RedisOptions["tls"]> {
  return {
    ...(caCertificatePem === undefined ? {} : { ca: caCertificatePem }),
    ...(certificatePem === undefined ? {} : { cert: certificatePem }),
    ...(keyPem === undefined ? {} : { key: keyPem }),
  };
}

/** One command to one node. @throws Error what the server answers, or how it closes the door */
export async function ask(
  { address, port }: Endpoint,
  options: Pick<RedisOptions, "username" | "password" | "tls">,
  command: string,
  ...args: string[]
): Promise<unknown> {
  const client = new Redis({
    host: address,
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    ...options,
  });
  let cause: Error | undefined;
  client.on("error", (error) => {
    cause = error;
  });
  try {
    await client.connect();
    return await client.call(command, ...args);
  } catch (error) {
    throw cause ?? error;
  } finally {
    client.disconnect();
  }
}

/** An ordinary client; host names that nodes announce mean nothing here, so it goes by their addresses. */
export async function clusterClient(project: Project): Promise<Cluster> {
  const { username, password, tls } = await project.credentials();
  const nodes = await project.nodes();
  return new Cluster(
    nodes.map(({ address, port }) => ({ host: address, port })),
    {
      natMap: Object.fromEntries(
        nodes.flatMap(({ hostname, address, port }) =>
          hostname === undefined ? [] : [[`${hostname}:${port}`, { host: address, port }]],
        ),
      ),
      redisOptions: {
        ...(password === undefined ? {} : { username, password }),
        tls: clientTls(tls ?? {}),
      },
    },
  );
}

/** The certificates that the component keeps, keys and all, as only the stack's state has them. */
export async function tableOf(project: Project): Promise<CertificateTable> {
  const { deployment } = await project.engine.exportStack({ showSecrets: true });
  const kept = (deployment.resources ?? []).find(({ type }) => String(type).endsWith(":ClusterCertificates"));
  const { table } = (kept?.["outputs"] ?? {}) as { table?: { plaintext?: string } };
  const plaintext = table?.plaintext;
  if (plaintext === undefined) throw new Error("there are no certificates in the state");
  return JSON.parse(plaintext) as CertificateTable;
}

/** The authority that signs, as if it were stolen. */
export async function authorityOf(project: Project): Promise<TlsIdentity> {
  const { certificatePem = "", keyPem = "" } = (await tableOf(project)).authorities[0] ?? {};
  return { certificatePem, keyPem };
}
