import type { Duplex } from "node:stream";

/** A way to nodes that cannot be reached directly. */
export interface Proxy {
  /** A stream to that address, as the far end sees it. @throws Error that names the proxy and what it said */
  connect(host: string, port: number): Promise<Duplex>;
  close(): void;
}
