import type { Duplex } from "node:stream";

/**
 * A way to nodes that cannot be reached directly. `openSshProxy` is one. Another could run a command for each node that opens a
 * port on this machine and carries it there, as AWS Session Manager's port forwarding does: `connect` starts that command for
 * `host:port`, or takes the one that it has, waits until the port answers, and is then `net.connect` to it; `close` ends all of them.
 */
export interface Proxy {
  /** A stream to that address, as the far end sees it. @throws Error that names the proxy and what it said */
  connect(host: string, port: number): Promise<Duplex>;
  /**
   * Makes the part of the way that all nodes share, where there is one and it is not there: so that its own time does not count as
   * a node's. @throws Error as `connect` does
   */
  ready?(): Promise<void>;
  close(): void;
}
