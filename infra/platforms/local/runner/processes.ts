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
  const stat = readProc(pid, "stat");
  if (stat === undefined) return undefined;
  // The command's name stands in brackets and may hold blanks and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields[0] === "Z" || fields[0] === "X") return undefined;
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
  for (const pid of pids()) {
    try {
      for (const descriptor of fs.readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1];
        if (inode && inodes.has(inode)) return `"${commandOf(pid) || readProc(pid, "comm")?.trim()}" (pid ${pid})`;
      }
    } catch {
      // another user's process, or gone meanwhile
    }
  }
  return undefined;
}

function listeningInodes(address: string, port: number): Set<string> {
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
      text = fs.readFileSync(`/proc/net/${table}`, "utf8");
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
