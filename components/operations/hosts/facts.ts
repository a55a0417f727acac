/** What a host says or its servers tell, unjudged. Whatever could not be seen is absent. */
export interface HostFacts {
  /** The machine that asks: it is the host of every server whose process was found. */
  readonly machine: MachineFacts;
  /** In the order of the inventory, silent ones too. */
  readonly nodes: readonly NodeFacts[];
}

export interface MachineFacts {
  readonly overcommitMemory?: number;
  /** `always`, `madvise`, `never`: the word in brackets. */
  readonly transparentHugePages?: string;
  readonly clocksource?: { readonly current: string; readonly available: readonly string[] };
}

export interface NodeFacts {
  readonly name: string;
  readonly address: string;
  /** Absent where it does not answer. */
  readonly server?: ServerFacts;
}

/** Over the wire. */
export interface ServerFacts {
  /** `Linux 6.1.0-18-amd64 x86_64`. */
  readonly os?: string;
  /** As the server itself knows it; in a container's own numbering where it runs in one. */
  readonly pid?: number;
  readonly maxclients?: number;
  readonly tcpBacklog?: number;
  readonly disableThp?: boolean;
  /** Absent where it was not found on the machine that asks. */
  readonly process?: ProcessFacts;
}

/** From /proc. */
export interface ProcessFacts {
  /** In the numbering of the machine that asks. */
  readonly pid: number;
  /** Soft limit of open files; Infinity for none. */
  readonly openFiles?: number;
  /** Whether the kernel may give it transparent huge pages: false once it has switched them off for itself. */
  readonly thpEnabled?: boolean;
  /** What its redis.conf asks for, the default where that names none. */
  readonly writtenMaxclients?: number;
  /** Of the network namespace that it listens in. */
  readonly somaxconn?: number;
  /** It listens in another network namespace than the one that asks. */
  readonly otherNetwork: boolean;
}

/** What redis.conf means without `maxclients`; the same in every version. */
export const DEFAULT_MAXCLIENTS = 10_000;
