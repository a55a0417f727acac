import { isIP } from "node:net";
import { endianness } from "node:os";

/** A TCP socket that listens, from /proc/…/net/tcp or tcp6. */
export interface Listener {
  /** As `addressKey` makes it. */
  readonly address: string;
  readonly port: number;
  readonly uid: number;
  /** Unique on the machine, whatever the network namespace. */
  readonly inode: string;
}

const LISTEN = "0A";
const MAPPED = "00000000000000000000ffff";
/** What a socket is bound to that listens on every address: `0.0.0.0`, `::`. */
const ANY = new Set([`${MAPPED}00000000`, "0".repeat(32)]);

/** 32 hex digits, the same for every spelling of an address; undefined for what is none. */
export function addressKey(address: string): string | undefined {
  const [bare = ""] = address.toLowerCase().split("%");
  const family = isIP(bare);
  if (family === 0) return undefined;
  const v4 = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(bare)?.slice(1);
  const ending = (v4 ?? []).map((part) => Number(part).toString(16).padStart(2, "0")).join("");
  if (family === 4) return MAPPED + ending;
  // What an IPv4 address ends with is two words of an IPv6 one.
  const text = v4 ? bare.replace(/[\d.]+$/, `${ending.slice(0, 4)}:${ending.slice(4)}`) : bare;
  const [head = "", tail = ""] = text.split("::");
  const words = (part: string) => (part === "" ? [] : part.split(":"));
  const gap = Array.from({ length: 8 - words(head).length - words(tail).length }, () => "0");
  return [...words(head), ...gap, ...words(tail)].map((word) => word.padStart(4, "0")).join("");
}

/** Whether a socket bound to this address answers at that one. */
export function answersAt(bound: string, address: string): boolean {
  return bound === address || ANY.has(bound);
}

export function isLoopback(key: string): boolean {
  return key.startsWith(`${MAPPED}7f`) || key === `${"0".repeat(31)}1`;
}

export function parseListeners(text: string): Listener[] {
  return text.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , uid, , inode = ""] = line.trim().split(/\s+/);
    if (state !== LISTEN) return [];
    const [address = "", port = ""] = local.split(":");
    return { address: keyOfWords(address), port: Number.parseInt(port, 16), uid: Number(uid), inode };
  });
}

/** The kernel prints an address in words of 32 bits, each in the machine's own byte order. */
function keyOfWords(hex: string): string {
  const words = hex.toLowerCase().match(/.{8}/g) ?? [];
  const bytes = words.map((word) => (endianness() === "LE" ? (word.match(/../g) ?? []).reverse().join("") : word));
  return words.length === 1 ? MAPPED + bytes.join("") : bytes.join("");
}

/** Addresses that a network namespace has itself: /proc/…/net/fib_trie and if_inet6. */
export function parseOwnAddresses(fibTrie: string, ifInet6: string): Set<string> {
  const own = new Set<string>();
  let leaf = "";
  for (const line of fibTrie.split("\n")) {
    const address = /\|-- (\S+)/.exec(line)?.[1];
    if (address !== undefined) leaf = address;
    else if (/\/32 host LOCAL/.test(line)) own.add(addressKey(leaf) ?? leaf);
  }
  for (const line of ifInet6.split("\n")) {
    const [address = ""] = line.split(/\s+/);
    if (address.length === 32) own.add(address.toLowerCase());
  }
  return own;
}

/** The soft limit of open files, from /proc/…/limits. */
export function parseOpenFiles(limits: string): number | undefined {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/** From /proc/…/status. `innerPid`: its pid in the innermost namespace, as it knows it itself. */
export function parseProcessStatus(status: string): { innerPid?: number; uid?: number; thpEnabled?: boolean } {
  const field = (name: string) => new RegExp(`^${name}:\\s+(.+)$`, "m").exec(status)?.[1]?.trim().split(/\s+/);
  const innerPid = field("NSpid")?.at(-1);
  // Real, effective, saved, file system: sockets have the effective one.
  const uid = field("Uid")?.[1];
  const thp = field("THP_enabled")?.[0];
  return {
    ...(innerPid === undefined ? {} : { innerPid: Number(innerPid) }),
    ...(uid === undefined ? {} : { uid: Number(uid) }),
    ...(thp === undefined ? {} : { thpEnabled: thp === "1" }),
  };
}

/** `always [madvise] never` → `madvise`. */
export function parseChoice(text: string): string | undefined {
  return /\[(\w+)\]/.exec(text)?.[1];
}

/**
 * What a redis.conf says of `maxclients`: the last line counts; `fallback` without one; undefined where it includes other files,
 * which may say something else.
 */
export function parseMaxclients(conf: string, fallback: number): number | undefined {
  if (/^\s*include\s/im.test(conf)) return undefined;
  const said = [...conf.matchAll(/^\s*maxclients\s+["']?(\d+)/gim)].at(-1)?.[1];
  return said === undefined ? fallback : Number(said);
}
