/** How to log in at the nodes. Nothing of it is ever logged. */
export interface Login {
  readonly username?: string;
  readonly password?: string;
}

/** How to speak to the nodes: as whom, what to try where that is refused, and through what. All of it is secret. */
export interface Access extends Login {
  /** In this order: passwords of before, which a node may still have; `{}` is without any. Default: none. */
  readonly otherwise?: readonly Login[];
  /** Absent: without TLS. */
  readonly tls?: TlsAccess;
  /** Absent: nodes are reached directly. */
  readonly proxy?: ProxyAccess;
  /** Where nodes are reached that are not reached at their own address: `host:port` by `address:port`. Default: none. */
  readonly ways?: Readonly<Record<string, string>>;
}

/** A certificate and its private key, both PEM. */
export interface TlsIdentity {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface TlsAccess {
  /** PEM of every authority that certificates of nodes may come from, one after the other. */
  readonly caCertificatePem: string;
  /** What is shown where a node asks for a certificate, in this order until it takes one. Default: none. */
  readonly identities?: readonly TlsIdentity[];
  /**
   * SHA-256 of certificates that were made for nodes of this cluster, 64 hex digits in lower case: they are believed after their
   * time is over too, so that they can be replaced. Default: none.
   */
  readonly made?: readonly string[];
}

/** An SSH server that reaches the nodes, in the words of @pulumi/command's `ProxyConnection`. */
export interface ProxyAccess {
  readonly host: string;
  /** Default: 22. */
  readonly port?: number;
  /** Default: root. */
  readonly user?: string;
  readonly password?: string;
  /** PEM, or OpenSSH's own format. */
  readonly privateKey?: string;
  readonly privateKeyPassword?: string;
  /** Socket of an SSH agent. Default: SSH_AUTH_SOCK, where neither password nor key is given. */
  readonly agentSocketPath?: string;
  /** The server's public key as known_hosts has it (`ssh-ed25519 AAAA…`), or its fingerprint (`SHA256:…`). Default: what known_hosts says. */
  readonly hostKey?: string;
  /** How often to try before giving up. Default: 10; 0 is for ever. */
  readonly dialErrorLimit?: number;
  /** How long one try may take, in seconds. Default: 15; 0 is for ever. */
  readonly perDialTimeout?: number;
}
