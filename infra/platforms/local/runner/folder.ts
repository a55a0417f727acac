import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";

/** Files of a volume's folder that are ours, beside those of the server. */
export const FILES = {
  config: "redis.conf",
  users: "users.acl",
  log: "server.log",
  /** A folder: certificates, keys, and what is trusted. */
  tls: "tls",
  volume: "volume.json",
  instance: "instance.json",
  place: "place.json",
} as const;

/** Who owns a folder. */
export interface VolumeRecord {
  readonly owner: string;
  readonly token: string;
}

/** Which process was last started on a folder's data. Written before the start (without a pid) and again after it. */
export interface InstanceRecord {
  readonly instance: string;
  /** Of what it was started with: two processes with the same fingerprint serve equally well. */
  readonly fingerprint: string;
  readonly zone: string;
  readonly address: string;
  readonly port: number;
  readonly pid?: number;
  /** With the pid it names one process, also after a reboot: see `startTime` in processes.ts. */
  readonly startTime?: string;
}

/**
 * Where a node was whose server was ended and not started again yet, as where a roll was killed in between. A preference: it reserves nothing, and
 * without it the node is one at another address, which formation mends.
 */
export type FormerPlace = Pick<InstanceRecord, "zone" | "address" | "port">;

/** The project's folder: where Pulumi.yaml is. The program and its providers start in the same folder at or below it. */
export function projectFolder(start = process.cwd()): string {
  for (let folder = start; ; folder = path.dirname(folder)) {
    if (fs.existsSync(path.join(folder, "Pulumi.yaml"))) return folder;
    if (folder === path.dirname(folder)) return start;
  }
}

export function resolveVolume(volumePath: string): string {
  return path.resolve(projectFolder(), volumePath);
}

export function readVolumeRecord(folder: string): VolumeRecord | undefined {
  return readJson(path.join(folder, FILES.volume));
}

export function readInstanceRecord(folder: string): InstanceRecord | undefined {
  return readJson(path.join(folder, FILES.instance));
}

export function writeVolumeRecord(folder: string, record: VolumeRecord): void {
  writeJson(path.join(folder, FILES.volume), record);
}

export function writeInstanceRecord(folder: string, record: InstanceRecord): void {
  writeJson(path.join(folder, FILES.instance), record);
}

export function removeInstanceRecord(folder: string): void {
  fs.rmSync(path.join(folder, FILES.instance), { force: true });
}

/** Undefined too where it cannot be read: it is nothing to stop for. */
export function readFormerPlace(folder: string): FormerPlace | undefined {
  try {
    const { zone, address, port } = readJson<FormerPlace>(path.join(folder, FILES.place)) ?? {};
    const isPlace = typeof zone === "string" && net.isIPv4(String(address)) && Number.isInteger(port);
    return isPlace ? ({ zone, address, port } as FormerPlace) : undefined;
  } catch {
    return undefined;
  }
}

export function writeFormerPlace(folder: string, { zone, address, port }: FormerPlace): void {
  try {
    writeJson(path.join(folder, FILES.place), { zone, address, port });
  } catch {
    // A full disk, which the end of the node may be meant to free.
  }
}

export interface Neighbour {
  readonly record: InstanceRecord;
  readonly sameCluster: boolean;
}

/** What the nodes around this one hold, running or not: `<root>/<stack>/<cluster>/<node>/instance.json`. */
export function neighbours(folder: string): Neighbour[] {
  const cluster = path.dirname(folder);
  const root = path.dirname(path.dirname(cluster));
  const found: Neighbour[] = [];
  for (const stack of subfolders(root)) {
    for (const name of subfolders(stack)) {
      for (const node of subfolders(name)) {
        if (node === folder) continue;
        const record = readInstanceRecord(node);
        if (record) found.push({ record, sameCluster: name === cluster });
      }
    }
  }
  return found;
}

/** Folders of the other nodes of the same cluster. */
export function siblings(folder: string): string[] {
  return subfolders(path.dirname(folder)).filter((other) => other !== folder);
}

export function subfolders(folder: string): string[] {
  try {
    return fs
      .readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(folder, entry.name))
      .sort();
  } catch {
    return [];
  }
}

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")) as T;
  } catch (error) {
    // A half-written file cannot be there (see writeJson); an unreadable one must not pass for none.
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || (error as NodeJS.ErrnoException).code === "ENOTDIR")
      return undefined;
    throw error;
  }
}

/** Written aside and renamed: a kill or a full disk never leaves half a record. */
export function writeAtomic(file: string, text: string): void {
  const aside = `${file}.new`;
  try {
    fs.writeFileSync(aside, text, { mode: 0o600 });
    fs.renameSync(aside, file);
  } catch (error) {
    fs.rmSync(aside, { force: true });
    throw error;
  }
}

function writeJson(file: string, value: unknown): void {
  writeAtomic(file, `${JSON.stringify(value, null, 2)}\n`);
}
