/** One line of redis.conf: the directive's name in lower case, its value as Redis would print it (unquoted). */
export interface Directive {
  readonly name: string;
  readonly value: string;
}

/** One owner for each setting: the node's resource owns `boot` (a change rolls it), formation owns `live` (CONFIG SET). */
export interface DirectiveSplit {
  /** Must be in the file when the server starts, and only a restart changes it. */
  readonly boot: readonly Directive[];
  /** Can be set on a running server of this engine and version; also in the first file. */
  readonly live: readonly Directive[];
}

/** How a node is reached and what it tells the others. */
export interface NodeEndpoint {
  /** IP address that it listens on and announces. */
  readonly address: string;
  /** Client port; with TLS the one with it. */
  readonly port: number;
  /** Client port without TLS beside it; absent where there is none, and in a cluster without TLS. */
  readonly plainPort?: number;
  /** Cluster bus port. */
  readonly busPort: number;
  /** Announced host name, where there is one. */
  readonly hostname?: string;
  /** Where the machine that carries it lets its client port be reached too; absent: nowhere. */
  readonly published?: PublishedPort;
}

export interface PublishedPort {
  /** Address of that machine that is listened on; `0.0.0.0` is every one of it. */
  readonly address: string;
  readonly port: number;
}

export { BUS_PORT_OFFSET } from "../spec/busPort";

/** `10.0.0.1:6379`: how people write it, and a node's key where nodes are told apart by where they are. */
export function hostAndPort({ address, port }: Pick<NodeEndpoint, "address" | "port">): string {
  return `${address}:${port}`;
}

/** Where a node keeps things, on its own file system. */
export interface NodeStorage {
  /** The data folder: snapshots, append-only files, nodes.conf. */
  readonly dir: string;
  readonly pidfile?: string;
  /** Default: standard output. */
  readonly logfile?: string;
}

/** Files of a node's TLS, on its own file system. */
export interface TlsSettings {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** One user of users.acl. */
export interface AclUser {
  readonly name: string;
  /** SHA-256 of each password, 64 hex digits in lower case. Several while passwords are rotated. */
  readonly passwordHashes: readonly string[];
  /** Patterns of keys: `session:*`; with `%R~` or `%W~` before it for reading or writing only. Default: none. */
  readonly keys?: readonly string[];
  /** Patterns of pub/sub channels. Default: none. */
  readonly channels?: readonly string[];
  /** Rules in their order, the later ones on top: `+@read`, `-@dangerous`, `+cluster|slots`. Default: none. */
  readonly commands?: readonly string[];
  /** Default: true. */
  readonly enabled?: boolean;
  /** Anybody may log in as this user: the server's own first user, as long as it stays open. Default: false. */
  readonly nopass?: boolean;
}
