import type * as pulumi from "@pulumi/pulumi";
import type { RedisClusterArgs } from "../../../components/spec/args";

/**
 * A cluster over hosts that somebody else provides. Roles, shards and slots are as they are found; of the other arguments
 * only those that are given are managed, and nothing that would take a restart can be.
 */
export interface ExistingRedisClusterArgs extends Omit<RedisClusterArgs, "tls" | "domain"> {
  /** Every host of the cluster: an existing cluster's, or blank ones, in any order. One that is taken out of the list is drained and forgotten; its server goes on running. */
  nodes: ExistingNodeArgs[];
  /** Move slots until every shard has the same number, and masters out of zones that hold half of them. Default: false, slots stay as they are found. */
  rebalance?: boolean;
  /** User to log in as. Default: the server's default user. */
  username?: string;
  /** Password to log in with, better a secret. Default: none. */
  password?: pulumi.Input<string>;
  /** What nodes that speak TLS are trusted by, and what is shown to them. Their own certificates stay with whoever provides them. Default: without TLS. */
  tls?: NodeTlsArgs;
  /** How the nodes are reached, by `up`, its verification and refresh. Default: directly. */
  connection?: ConnectionArgs;
}

/** All PEM. */
export interface NodeTlsArgs {
  /** The authorities that the nodes' certificates come from, one after the other; nothing else is trusted. */
  caCertificatePem: pulumi.Input<string>;
  /** A client certificate, where the nodes ask for one (`tls-auth-clients`). Default: none. */
  certificatePem?: pulumi.Input<string>;
  /** Its private key, better a secret. Default: none. */
  keyPem?: pulumi.Input<string>;
}

/** As far as it goes, in the words of @pulumi/command. */
export interface ConnectionArgs {
  /** An SSH server that reaches the nodes, a bastion: all that is said to them goes through it. Default: none. */
  proxy?: ProxyArgs;
}

export interface ProxyArgs {
  /** Name or address of the SSH server. */
  host: pulumi.Input<string>;
  /** Its port. Default: 22. */
  port?: number;
  /** User to log in as. Default: root. */
  user?: pulumi.Input<string>;
  /** Password to log in with. Default: none. */
  password?: pulumi.Input<string>;
  /** Private key to log in with, as text: OpenSSH's own format or PEM. Default: none. */
  privateKey?: pulumi.Input<string>;
  /** Passphrase of the private key. Default: none. */
  privateKeyPassword?: pulumi.Input<string>;
  /** Socket of an SSH agent that has the key. Default: that of SSH_AUTH_SOCK, where neither password nor private key is given. */
  agentSocketPath?: pulumi.Input<string>;
  /** The server's public key as in known_hosts (`ssh-ed25519 AAAA…`), or its fingerprint (`SHA256:…`); it is always checked. Default: what `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts` say. */
  hostKey?: pulumi.Input<string>;
  /** How often to try to reach it before giving up; 0 is for ever. Default: 10. */
  dialErrorLimit?: number;
  /** How long one try may take, in seconds; 0 is without end. Default: 15. */
  perDialTimeout?: number;
}

export interface ExistingNodeArgs {
  /** IP address that the server announces to the others. */
  address: string;
  /** Client port. Default: the cluster's `port`, else 6379. */
  port?: number;
  /** Cluster bus port. Default: 10000 above the client port. */
  busPort?: number;
  /** Host name that the server's certificate carries, where it does not carry the address. Default: none. */
  hostname?: string;
  /** Availability zone, or what stands for one; for all nodes or for none. Default: all in one zone. */
  zone?: string;
  /** Stable name, so that a host may come back under another address. Default: made of cluster, address and port. */
  name?: string;
}
