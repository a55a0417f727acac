/** Thrown where Docker cannot be had; the message says what to do. */
export class NoDocker extends Error {}

/** The folder with dockerd and the programs that it starts: this system's, else unpacked. */
export function ensureDockerd(options?: { readonly log?: (line: string) => void }): Promise<string>;

/** Starts a daemon whose data, socket and log are in a folder; with one that was there before, it is that daemon again. */
export function launch(daemon: {
  readonly folder: string;
  /** Of `ensureDockerd`. */
  readonly programs: string;
  /** Of its default network, or `none`. */
  readonly bridge: string;
  /** A command that runs it elsewhere, as `nsenter`. */
  readonly within?: readonly string[];
  readonly options?: readonly string[];
}): {
  readonly pid: number | undefined;
  /** @throws Error where it ends or does not answer in time */
  readonly ready: () => Promise<void>;
};

/** Its containers end with it, at once. */
export function endDaemon(daemon: { readonly pid: number; readonly folder: string }): Promise<void>;

/** What a daemon has mounted in its folder and left. */
export function unmount(folder: string): Promise<void>;

export function socketIn(folder: string): string;
