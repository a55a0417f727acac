import * as pulumi from "@pulumi/pulumi";
import type { Access } from "../../../components/access/types";
import type { InventoryTls } from "../../../components/cluster/inventory";
import type { NodeTlsArgs, ProxyArgs } from "./args";

/** What access is made of; passwords and keys as secrets, whatever they come as. */
export function accessOf(
  login: object,
  tls: NodeTlsArgs | undefined,
  proxy: ProxyArgs | undefined,
): pulumi.Output<Access> {
  const speaking = { ...login, ...(tls ? { tls: tlsOf(tls) } : {}) };
  if (!proxy) return pulumi.output(speaking);
  const { password, privateKey, privateKeyPassword, ...open } = proxy;
  const secrets = Object.entries({ password, privateKey, privateKeyPassword }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, pulumi.secret(value)] as const],
  );
  return pulumi.output({ ...speaking, proxy: { ...open, ...Object.fromEntries(secrets) } });
}

function tlsOf({ caCertificatePem, certificatePem, keyPem }: NodeTlsArgs) {
  if (certificatePem === undefined || keyPem === undefined) return { caCertificatePem };
  return { caCertificatePem, identities: [{ certificatePem, keyPem: pulumi.secret(keyPem) }] };
}

/** What clients need of it. */
export function credentialsOf({ certificatePem, keyPem, ...trust }: NodeTlsArgs): object {
  if (certificatePem === undefined || keyPem === undefined) return trust;
  return { ...trust, certificatePem, keyPem };
}

/** When certificates end that somebody else keeps, `redis-cluster status` tells. */
export function tlsOfInventory({ certificatePem }: NodeTlsArgs): InventoryTls {
  return { clientAuth: certificatePem === undefined ? "no" : "yes", certificatesExpire: "", authorityExpires: "" };
}
