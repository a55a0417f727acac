import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { DEFAULT_MAXCLIENTS, type MachineFacts, type ProcessFacts } from "./facts";
import {
  addressKey,
  answersAt,
  isLoopback,
  type Listener,
  parseChoice,
  parseListeners,
  parseMaxclients,
  parseOpenFiles,
  parseOwnAddresses,
  parseProcessStatus,
} from "./procText";
import { THP_FILE } from "./remedies";

const NSENTER_MILLISECONDS = 2_000;

interface Network {
  readonly listeners: readonly Listener[];
  /** As `addressKey` makes them. */
  readonly addresses: ReadonlySet<string>;
  readonly isOurs: boolean;
  readonly somaxconn?: number;
}

/**
 * The processes of this machine at one moment, as far as the kernel shows them to this user. Every question is answered
 * with undefined where it does not; nothing is changed and no right is asked for.
 */
export class Processes {
  readonly #networks = new Map<string, Network>();
  readonly #own = network("self", true);
  readonly #ownLink = link("/proc/self/ns/net");
  #byInnerPid: Map<number, number[]> | undefined;

  /**
   * The server that calls itself `pid` and listens at one of these addresses. A pid alone is no name: it has to listen there
   * itself, in a network that has the address. Containers number their processes anew, so any process that is `pid` to itself may be it.
   */
  find(pid: number, addresses: readonly string[], port: number): number | undefined {
    const keys = addresses.flatMap((a) => addressKey(a) ?? []);
    return this.#candidates(pid).find((candidate) => this.#serves(candidate, keys, port));
  }

  /** `configFile`: as INFO names it, in the server's own file system. */
  facts(pid: number, configFile: string): ProcessFacts {
    const openFiles = parseOpenFiles(read(`/proc/${pid}/limits`) ?? "");
    const { thpEnabled } = parseProcessStatus(read(`/proc/${pid}/status`) ?? "");
    const conf = configFile === "" ? "" : read(`/proc/${pid}/root${configFile}`);
    const writtenMaxclients = conf === undefined ? undefined : parseMaxclients(conf, DEFAULT_MAXCLIENTS);
    const { isOurs, somaxconn } = this.#networkOf(pid);
    return {
      pid,
      ...(openFiles === undefined ? {} : { openFiles }),
      ...(thpEnabled === undefined ? {} : { thpEnabled }),
      ...(writtenMaxclients === undefined ? {} : { writtenMaxclients }),
      ...(somaxconn === undefined ? {} : { somaxconn }),
      otherNetwork: !isOurs,
    };
  }

  #candidates(pid: number): readonly number[] {
    this.#byInnerPid ??= byInnerPid();
    return this.#byInnerPid.get(pid) ?? [];
  }

  #serves(pid: number, keys: readonly string[], port: number): boolean {
    const { listeners, addresses, isOurs } = this.#networkOf(pid);
    // A loopback address is everybody's own: it is this server's only where its network is the one that we asked over.
    const here = keys.filter((key) => (isLoopback(key) ? isOurs : addresses.has(key)));
    const sockets = listeners.filter((l) => l.port === port && here.some((key) => answersAt(l.address, key)));
    return sockets.length > 0 && holdsOne(pid, port, sockets);
  }

  #networkOf(pid: number): Network {
    const name = link(`/proc/${pid}/ns/net`);
    if (name !== undefined && name === this.#ownLink) return this.#own;
    const key = name ?? `of ${pid}`;
    let known = this.#networks.get(key);
    if (known === undefined) {
      known = network(pid, false);
      // Of other users' processes the namespace is not told, but a socket that both tables have is in one and the same.
      const ours = new Set(this.#own.listeners.map((l) => l.inode));
      if (name === undefined && known.listeners.some((l) => ours.has(l.inode))) known = this.#own;
      this.#networks.set(key, known);
    }
    return known;
  }
}

export function machineFacts(): MachineFacts {
  const overcommit = read("/proc/sys/vm/overcommit_memory");
  const thp = parseChoice(read(THP_FILE) ?? "");
  const clocks = "/sys/devices/system/clocksource/clocksource0";
  const current = read(`${clocks}/current_clocksource`)?.trim();
  const available = read(`${clocks}/available_clocksource`)?.trim().split(/\s+/) ?? [];
  return {
    ...(overcommit === undefined ? {} : { overcommitMemory: Number(overcommit) }),
    ...(thp === undefined ? {} : { transparentHugePages: thp }),
    ...(current ? { clocksource: { current, available } } : {}),
  };
}

function byInnerPid(): Map<number, number[]> {
  const found = new Map<number, number[]>();
  for (const name of list("/proc") ?? []) {
    if (!/^\d+$/.test(name)) continue;
    const { innerPid } = parseProcessStatus(read(`/proc/${name}/status`) ?? "");
    if (innerPid !== undefined) found.set(innerPid, [...(found.get(innerPid) ?? []), Number(name)]);
  }
  return found;
}

/** Other users' descriptors are hidden; then it is a process of the socket's user that calls itself after the port. */
function holdsOne(pid: number, port: number, sockets: readonly Listener[]): boolean {
  const inodes = new Set(sockets.map((s) => `socket:[${s.inode}]`));
  const descriptors = list(`/proc/${pid}/fd`);
  if (descriptors !== undefined) return descriptors.some((fd) => inodes.has(link(`/proc/${pid}/fd/${fd}`) ?? ""));
  const { uid } = parseProcessStatus(read(`/proc/${pid}/status`) ?? "");
  const title = (read(`/proc/${pid}/cmdline`) ?? "").replaceAll("\0", " ");
  return sockets.some((s) => s.uid === uid) && new RegExp(`-server \\S*:${port}\\b`).test(title);
}

function network(pid: number | "self", isOurs: boolean): Network {
  const table = (name: string) => read(`/proc/${pid}/net/${name}`) ?? "";
  const listeners = [...parseListeners(table("tcp")), ...parseListeners(table("tcp6"))];
  const addresses = isOurs ? ownAddresses() : parseOwnAddresses(table("fib_trie"), table("if_inet6"));
  const somaxconn = Number(isOurs ? read(SOMAXCONN) : readIn(pid, SOMAXCONN));
  return { listeners, addresses, isOurs, ...(somaxconn > 0 ? { somaxconn } : {}) };
}

const SOMAXCONN = "/proc/sys/net/core/somaxconn";

/** /proc/sys/net is the reader's own network's, under /proc/<pid>/root as well: whoever reads another's has to be in there. */
function readIn(pid: number | "self", path: string): string | undefined {
  try {
    return execFileSync("nsenter", [`--net=/proc/${pid}/ns/net`, "cat", path], {
      encoding: "utf8",
      timeout: NSENTER_MILLISECONDS,
      stdio: ["ignore", "pipe", "ignore"],
    });
  } catch {
    // No right to, or no nsenter: not seen.
    return undefined;
  }
}

function ownAddresses(): Set<string> {
  const interfaces = Object.values(networkInterfaces()).flatMap((of) => of ?? []);
  return new Set(interfaces.flatMap(({ address }) => addressKey(address) ?? []));
}

function read(path: string): string | undefined {
  return seen(() => readFileSync(path, "utf8"));
}

function link(path: string): string | undefined {
  return seen(() => readlinkSync(path));
}

function list(path: string): string[] | undefined {
  return seen(() => readdirSync(path));
}

/** Processes end while they are looked at, and much is other users' own: what cannot be read is not seen, whatever the reason. */
function seen<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
