import * as pulumi from "@pulumi/pulumi";
import type { Access } from "../../../components/access/types";
import type { ProxyArgs } from "./args";

/** What access is made of; passwords and keys as secrets, whatever they come as. */
export function accessOf(login: object, proxy: ProxyArgs | undefined): pulumi.Output<Access> {
  if (!proxy) return pulumi.output(login);
  const { password, privateKey, privateKeyPassword, ...open } = proxy;
  const secrets = Object.entries({ password, privateKey, privateKeyPassword }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, pulumi.secret(value)] as const],
  );
  return pulumi.output({ ...login, proxy: { ...open, ...Object.fromEntries(secrets) } });
}
