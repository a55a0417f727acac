import type { Cluster } from "ioredis";
import type { TlsIdentity } from "../../../components/access/types";
import type { ClusterTlsCredentials } from "../../../components/cluster/inventory";
import type { CertificateTable } from "../../../components/security/certificates";
import { clusterClient, loginOf } from "../../support/clients";
import type { Project } from "../../support/project";

export async function tlsOf(project: Project): Promise<ClusterTlsCredentials> {
  const { tls } = await project.credentials();
  if (!tls) throw new Error("there are no credentials for TLS");
  return tls;
}

/** An ordinary client of a project's cluster; host names that nodes announce mean nothing here, so it goes by their addresses. */
export async function clientOf(project: Project): Promise<Cluster> {
  const nodes = await project.nodes();
  const natMap = Object.fromEntries(
    nodes.flatMap(({ hostname, address, port }) =>
      hostname === undefined ? [] : [[`${hostname}:${port}`, { host: address, port }]],
    ),
  );
  return clusterClient(nodes, loginOf(await project.credentials()), { natMap });
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
