import * as pulumi from "@pulumi/pulumi";
import type { TlsIdentity } from "../access/types";
import { authorityChange, type CertificatesInForce } from "../formation/certificates";
import type { Access } from "../formation/wire";
import { type CertificateTable, type IssuedCertificates, issuedOf, isTable } from "../security/certificates";
import { filesOf, joinPem, trustPem } from "../security/files";
import { ownEntry } from "../security/ownEntry";
import { OWN_CLIENT, SHARED_CLIENT } from "../spec/checkTls";
import { ordinalOf } from "../spec/ordinals";
import type { ClusterSpec, TlsSpec } from "../spec/spec";
import type { PlannedNode, TopologyPlan } from "../topology/plan";
import type { TlsMaterial } from "./declare";
import type { ClusterTlsCredentials, InventoryTls } from "./inventory";
import type { Platform } from "./platform";
import { ClusterCertificates } from "./resources";

/** What follows from certificates, for each who needs to know; all but `issued` is secret. */
export interface Certificates {
  readonly issued: pulumi.Output<IssuedCertificates>;
  /** How the component itself speaks to nodes. */
  readonly access: pulumi.Output<Access["tls"] & object>;
  filesOf(node: string): pulumi.Output<ReturnType<typeof filesOf>>;
  /** @param inForce what formation has proved */
  credentials(inForce: pulumi.Output<CertificatesInForce | undefined>): pulumi.Output<ClusterTlsCredentials>;
}

/** Two ends of an authority before everything that it signed would outlive it. */
const RENEWALS_AHEAD = 1;

/** The certificates of a cluster; undefined where it is without TLS. */
export function declareCertificates(
  spec: ClusterSpec,
  plan: TopologyPlan,
  platform: Platform,
  material: TlsMaterial,
  parent: pulumi.Resource,
): Certificates | undefined {
  const { tls } = spec;
  if (!tls) return undefined;
  const nodes = plan.shards.flatMap((shard, i) => shard.nodes.map((node, k) => ({ node, ordinal: ordinalOf(i, k) })));
  const names = nodes.map(({ node, ordinal }) =>
    pulumi.output(platform.namesOf({ spec, node, ordinal, parent })).apply(({ addresses, dnsNames, required }) => {
      const announced = [hostnameOf(spec, node)].filter((name) => name !== undefined);
      // What others are told to come by is what has to be in it.
      const needed = announced.length > 0 ? announced : required;
      return [
        node.name,
        { addresses, dnsNames: [...announced, ...dnsNames], ...(needed ? { required: needed } : {}) },
      ] as const;
    }),
  );
  const resource = new ClusterCertificates(
    spec.name,
    {
      cluster: spec.name,
      nodes: pulumi.all(names).apply((all) => Object.fromEntries(all)),
      clients: clientsOf(tls, material),
      rotation: tls.rotation,
      authorityRotation: tls.authorityRotation,
      days: {
        certificate: tls.certificateDays,
        authority: tls.authorityDays,
        renewBefore: tls.renewBeforeDays,
        renewAuthorityBefore: RENEWALS_AHEAD * tls.certificateDays,
      },
      // Secret as a whole, so that what the provider answers under these names is too.
      given: pulumi.secret(pulumi.output(givenOf(material))),
      table: pulumi.secret({}),
    },
    { parent, additionalSecretOutputs: ["given", "table"] },
  );
  const table = resource.table.apply((made) => {
    if (!isTable(made)) throw new Error("there are no certificates yet");
    return made;
  });
  return {
    issued: table.apply(issuedOf),
    access: table.apply(accessOf),
    filesOf: (node) => table.apply((made) => filesOf(made, node)),
    credentials: (inForce) => {
      const oldest = table.apply((made) => {
        const [latest, former] = made.authorities;
        // While there was never another one, nothing of it depends on the run, so that previews know it.
        return former
          ? inForce.apply((proved) => proved?.oldest ?? former.generation)
          : pulumi.output(latest?.generation ?? 0);
      });
      return pulumi.all([table, oldest]).apply(([made, from]) => credentialsOf(made, from, tls.clients));
    },
  };
}

/** Where nobody asks clients for a certificate, and none can be made, there are those that were handed in. */
function clientsOf({ clientAuth, clients }: TlsSpec, material: TlsMaterial): string[] {
  const cannotSign = !material.authority && material.caCertificatePem !== undefined;
  const given = Object.keys(material.clientCertificates ?? {});
  return (clientAuth === "no" && cannotSign ? given : [OWN_CLIENT, SHARED_CLIENT, ...clients]).sort();
}

/** Small letters, as names are compared. */
export function hostnameOf({ domain }: ClusterSpec, node: PlannedNode): string | undefined {
  return domain === undefined ? undefined : `${node.name.toLowerCase()}.${domain}`;
}

export function inventoryTls(spec: ClusterSpec, inForce: CertificatesInForce | undefined): InventoryTls | undefined {
  if (!spec.tls) return undefined;
  const { certificatesExpire = "", authorityExpires = "" } = inForce ?? {};
  const change = inForce && authorityChange(inForce, spec.tls.overlapSeconds);
  return {
    clientAuth: spec.tls.clientAuth,
    certificatesExpire,
    authorityExpires,
    ...(change ? { authorityChange: change } : {}),
  };
}

function givenOf({ authority, caCertificatePem, nodeCertificates, clientCertificates }: TlsMaterial) {
  return {
    ...(authority ? { authority } : {}),
    ...(caCertificatePem === undefined ? {} : { caCertificatePem }),
    ...(nodeCertificates ? { nodes: nodeCertificates } : {}),
    ...(clientCertificates ? { clients: clientCertificates } : {}),
  };
}

/** Until formation has been everywhere, a node may trust any authority of before, and show any certificate that was made for it. */
function accessOf(table: CertificateTable) {
  return {
    caCertificatePem: joinPem(table.authorities.map(({ certificatePem }) => certificatePem)),
    identities: (table.clients[OWN_CLIENT] ?? []).map(identityOf),
    made: Object.values(table.nodes)
      .flatMap((made) => made.map(({ fingerprint }) => fingerprint))
      .sort(),
  };
}

function identityOf({ certificatePem, keyPem }: TlsIdentity): TlsIdentity {
  return { certificatePem, keyPem };
}

function credentialsOf(table: CertificateTable, oldest: number, clients: readonly string[]): ClusterTlsCredentials {
  const latest = (name: string) => (ownEntry(table.clients, name) ?? []).slice(0, 1).map(identityOf);
  const named = clients.flatMap((name) => latest(name).map((identity) => [name, identity] as const));
  return {
    caCertificatePem: trustPem(table, oldest),
    ...latest(SHARED_CLIENT)[0],
    ...(named.length > 0 ? { clients: Object.fromEntries(named) } : {}),
    ...latest(OWN_CLIENT).map((admin) => ({ admin }))[0],
  };
}
