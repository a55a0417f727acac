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
  /** Client port. */
  readonly port: number;
  /** Cluster bus port. */
  readonly busPort: number;
  /** Announced host name, where there is one. */
  readonly hostname?: string;
}
