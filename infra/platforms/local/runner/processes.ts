import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";

/** A process, named so that a later one with the same pid is not taken for it. */
export interface ProcessName {
  readonly pid: number;
  readonly startTime: string;
}

const LINUX = process.platform === "linux";

/**
 * When a process started, as text to compare; undefined where there is none, or only its remains. On Linux the kernel's
 * tick count with the boot's ID before it, since ticks repeat after a reboot; elsewhere what `ps` says.
 */
export function startTime(pid: number): string | undefined {
  if (!LINUX) {
    const line = ps(["-o", "stat=,lstart=", "-p", String(pid)]).trim();
    const match = /^(\S+)\s+(.+)$/.exec(line);
    return match && !match[1]?.startsWith("Z") ? match[2] : undefined;
  }
  const fields = statOf(pid);
  if (!fields || fields[0] === "Z" || fields[0] === "X") return undefined;
  return `${bootId()}:${fields[19]}`;
}

export function isAlive(name: ProcessName): boolean {
  return startTime(name.pid) === name.startTime;
}

/** Shown in the process's own title, so that it is found (and known by people) even where its pid was never written down. */
export function processMark(folder: string): string {
  return `volume=${createHash("sha256").update(realPath(folder)).digest("hex").slice(0, 16)}`;
}

/** Of a folder that was removed as well: its server may still run. */
function realPath(folder: string): string {
  if (fs.existsSync(folder) || folder === path.dirname(folder)) return fs.realpathSync(folder);
  return path.join(realPath(path.dirname(folder)), path.basename(folder));
}

/** Servers that run on a folder's data, found by their mark: usually one or none. */
export function findMarked(mark: string): ProcessName[] {
  const found: ProcessName[] = [];
  // As the program was called, and as it then calls itself. A line that merely quotes the mark (grep, a shell) is neither.
  const own = new RegExp(`${mark} (\\{listen-addr\\}|\\S+:\\d+) `);
  for (const { pid, command } of commands()) {
    if (!own.test(`${command} `)) continue;
    // A server's forked children carry its mark too, and end by themselves: "redis-rdb-bgsave …", "redis-aof-rewrite …".
    if (/^(redis|valkey)-(?!server)/.test(command)) continue;
    const started = startTime(pid);
    if (started !== undefined) found.push({ pid, startTime: started });
  }
  return found;
}

/** Who listens on a port of an address, as far as this user may see it: `"nginx" (pid 42)`. */
export function describeListener(address: string, port: number): string | undefined {
  if (!LINUX) {
    const match = /^(\S+)\s+(\d+)/m.exec(run("lsof", ["-nP", `-iTCP:${port}`, "-sTCP:LISTEN"]).split("\n")[1] ?? "");
    return match ? `"${match[1]}" (pid ${match[2]})` : undefined;
  }
  const inodes = listeningInodes(address, port);
  if (inodes.size === 0) return undefined;
  const pid = pids().find((candidate) => holds(candidate, inodes));
  return pid === undefined ? undefined : `"${commandOf(pid) || readProc(pid, "comm")?.trim()}" (pid ${pid})`;
}

/** Does a process itself listen on a port of an address, or one of the group that it leads, as a script that started the server does? */
export function listens(pid: number, address: string, port: number): boolean {
  if (!LINUX) {
    const there = ["-nP", "-t", "-a", `-iTCP@${address}:${port}`, "-sTCP:LISTEN"];
    return [["-p", pid] as const, ["-g", pid] as const].some(
      ([by, id]) => run("lsof", [...there, by, String(id)]).trim() !== "",
    );
  }
  const inodes = listeningInodes(address, port, pid);
  if (inodes.size === 0) return false;
  return holds(pid, inodes) || pids().some((other) => groupOf(other) === pid && holds(other, inodes));
}

function holds(pid: number, inodes: Set<string>): boolean {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).some((descriptor) => {
      const inode = /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1];
      return inode !== undefined && inodes.has(inode);
    });
  } catch {
    // another user's process, or gone meanwhile
    return false;
  }
}

function groupOf(pid: number): number | undefined {
  const fields = statOf(pid);
  return fields && Number(fields[2]);
}

/** @param viewer whose network it is: a process may have gone to a namespace of its own */
function listeningInodes(address: string, port: number, viewer: number | "self" = "self"): Set<string> {
  const inodes = new Set<string>();
  const bytes = address.split(".").map(Number).reverse();
  const own = bytes
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .toUpperCase();
  const wanted = port.toString(16).padStart(4, "0").toUpperCase();
  for (const table of ["tcp", "tcp6"]) {
    let text = "";
    try {
      text = fs.readFileSync(`/proc/${viewer}/net/${table}`, "utf8");
    } catch {
      continue;
    }
    for (const line of text.split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      const [host, hostPort] = (fields[1] ?? "").split(":");
      const LISTEN = "0A";
      if (fields[3] !== LISTEN || hostPort !== wanted || !host || !fields[9]) continue;
      if (host === own || /^0+$/.test(host) || host.endsWith(`FFFF0000${own}`)) inodes.add(fields[9]);
    }
  }
  return inodes;
}

function commands(): { pid: number; command: string }[] {
  if (LINUX) return pids().map((pid) => ({ pid, command: commandOf(pid) }));
  const lines = ps(["-axo", "pid=,command="]).split("\n");
  return lines.flatMap((line) => {
    const match = /^\s*(\d+)\s+(.*)$/.exec(line);
    return match ? [{ pid: Number(match[1]), command: match[2] ?? "" }] : [];
  });
}

function pids(): number[] {
  return fs
    .readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

function commandOf(pid: number): string {
  return (readProc(pid, "cmdline") ?? "").replace(/\0+/g, " ").trim();
}

/** Fields of a process's state from the third on: the command's name before them stands in brackets, and may hold blanks and brackets itself. */
function statOf(pid: number): string[] | undefined {
  const stat = readProc(pid, "stat");
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return fs.readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined;
  }
}

let boot: string | undefined;
function bootId(): string {
  boot ??= fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return boot;
}

function ps(args: string[]): string {
  return run("ps", args);
}

function run(file: string, args: string[]): string {
  try {
    return execFileSync(file, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      env: { ...process.env, LC_ALL: "C" },
    });
  } catch (error) {
    // ps ends with 1 where it finds nothing; what it printed still counts.
    return String((error as { stdout?: unknown }).stdout ?? "");
  }
}
