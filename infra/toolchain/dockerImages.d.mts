import type { TestServerName } from "./servers.mjs";

/** What official images are called, by the tests' name of the server. */
export const IMAGE_NAMES: Readonly<Record<TestServerName, string>>;

/**
 * Images of the four test servers in the daemon, under the official names and like those: server and client in /usr/local/bin, a user
 * redis with ID 999, REDIS_VERSION or VALKEY_VERSION, /data as volume. Without an entrypoint. Made once for each content; an image of
 * the name that is not ours stays as it is.
 */
export function serverImages(options: {
  readonly host: string;
  readonly log?: (line: string) => void;
  /** Default: all four. */
  readonly only?: readonly TestServerName[];
}): Promise<Partial<Record<TestServerName, string>>>;
