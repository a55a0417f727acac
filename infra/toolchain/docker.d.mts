import type { TestServerName } from "./servers.mjs";

export { NoDocker } from "./dockerDaemon.mjs";
export { IMAGE_NAMES, serverImages } from "./dockerImages.mjs";

export interface TestDocker {
  /** As DOCKER_HOST has it: `unix:///path` or `tcp://host:port`. */
  readonly host: string;
  /** Ends the daemon where this process is the last that uses one of our own; otherwise nothing. */
  readonly stop: () => Promise<void>;
}

/**
 * The daemon that runs, else one of our own: as root on Linux, from PATH or unpacked from Debian's packages. Processes share it, and
 * the last that stops ends it and takes away all it made.
 */
export function dockerForTests(options?: {
  readonly log?: (line: string) => void;
  /** The daemon that is looked for; DOCKER_HOST by default, else the usual socket. */
  readonly host?: string;
}): Promise<TestDocker>;

export type { TestServerName };
