/** A server's program that was found or unpacked, and the tools that came with it. */
export interface Server {
  /** One executable file that is spawned like redis-server; the process keeps the pid it was given. */
  readonly path: string;
  readonly engine: "redis" | "valkey";
  /** As the server reports it: "7.0.15". */
  readonly version: string;
  readonly cliPath?: string;
  readonly checkRdbPath?: string;
  readonly checkAofPath?: string;
}

export type TestServerName = "redis-7.0" | "redis-8.0" | "valkey-8.1" | "valkey-9.1";

export interface Options {
  readonly log?: (line: string) => void;
}

/** Thrown where a server cannot be had here; the message says what to do. */
export class ServerUnavailable extends Error {}

/** The server for this machine's own clusters: REDIS_SERVER, else PATH, else the distribution's package unpacked, else brew. */
export function ensureRedisServer(options?: Options): Promise<Server>;

/** The four servers of the tests. */
export function ensureTestServers(options?: Options): Promise<Record<TestServerName, Server>>;
