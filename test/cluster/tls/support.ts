import type { ClusterTlsCredentials } from "../../../components/cluster/inventory";
import type { Project } from "../../support/project";

export async function tlsOf(project: Project): Promise<ClusterTlsCredentials> {
  const { tls } = await project.credentials();
  if (!tls) throw new Error("there are no credentials for TLS");
  return tls;
}
