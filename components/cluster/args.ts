import type * as pulumi from "@pulumi/pulumi";
import type { RedisClusterArgs, TlsArgs, UserArgs } from "../spec/args";

/** Arguments of every platform that makes its nodes, with what cannot be plain: passwords, certificates and keys. */
export interface ClusterArgs extends RedisClusterArgs {
  /** Users of the cluster by name; `{}` is none of your own. Declared, nobody may log in without a password any more. Default: none, and the cluster is open. */
  users?: { [name: string]: ClusterUserArgs };
  /** TLS. Plain or TLS on the cluster bus is decided when a cluster is made. Default: set by the platform; none on `local`. */
  tls?: ClusterTlsArgs;
}

/** All PEM; keys without a passphrase, better secrets. */
export interface ClusterTlsArgs extends TlsArgs {
  /** An authority that signs the certificates of nodes and clients, a company's intermediate for one. Another one comes in as with `authorityRotation`. Default: the component makes one. */
  authority?: CertificateArgs;
  /** Certificates of the authorities that handed-in certificates come from, one after the other. Default: that of `authority`. */
  caCertificatePem?: pulumi.Input<string>;
  /** Certificates of nodes, by node name, where somebody else signs them: each with the node's addresses and host name. Default: the authority signs them. */
  nodeCertificates?: { [node: string]: CertificateArgs };
  /** Certificates of clients, by name: `admin` is the component itself, `client` every application that has none of its own. Default: the authority signs them. */
  clientCertificates?: { [client: string]: CertificateArgs };
}

export interface CertificateArgs {
  /** The certificate; where it comes from an intermediate authority, with that one's behind it. */
  certificatePem: pulumi.Input<string>;
  /** Its private key. */
  keyPem: pulumi.Input<string>;
}

export interface ClusterUserArgs extends UserArgs {
  /** The user's password, better a secret; another value rotates it. Default: generated. */
  password?: pulumi.Input<string>;
}
