/** OpenSSH's programs, each an executable file that keeps the pid it was given. */
export interface OpenSsh {
  readonly sshd: string;
  readonly keygen: string;
  readonly agent: string;
  readonly add: string;
  /** Lines that sshd_config needs, so that sshd finds its own parts. */
  readonly config: readonly string[];
}

export class NoSshd extends Error {}
export function ensureSshd(options?: {
  log?: (line: string) => void;
  installed?: () => Record<string, string> | undefined;
}): Promise<OpenSsh>;
