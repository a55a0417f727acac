import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import {
  type FileChanges,
  filesOfNewServer,
  filesOfReturningServer,
  type NodeFolder,
  tlsFiles,
} from "../../../../components/cluster/nodeFiles";
import type { NodeTls } from "../../../../components/cluster/platform";
import { canonical } from "../../../../components/cluster/values";
import { writeAtomic } from "./folder";
import type { NodeInputs } from "./types";

/** Writes the file for a new process: what boots it, and the live settings as they are declared now. */
export function writeConfigFile(folder: string, node: NodeInputs): void {
  const { address, port, busPort, hostname, plainPort } = node;
  const names = { ...(hostname === undefined ? {} : { hostname }), ...(plainPort === undefined ? {} : { plainPort }) };
  apply(folder, filesOfNewServer(onDisk(folder), { ...node, endpoint: { address, port, busPort, ...names } }, folder));
}

/** For a process that comes back: its file stays, but for certificates that are of no use any more. */
export function keepConfigFile(folder: string, node: NodeInputs): void {
  apply(folder, filesOfReturningServer(onDisk(folder), node, folder));
}

/** Puts certificates in place for a process that runs. */
export function writeTlsFiles(folder: string, tls: NodeTls): void {
  apply(folder, tlsFiles(onDisk(folder), tls));
}

/** Of everything that a running process cannot change any more; a process with the same one needs no replacement. */
export function fingerprint(node: NodeInputs): string {
  const { boot, engine, address, port, busPort } = node;
  const parts = { boot, engine, address, port, busPort, ...(node.tls ? { tls: true } : {}) };
  return createHash("sha256").update(canonical(parts)).digest("hex").slice(0, 16);
}

function onDisk(folder: string): NodeFolder {
  return {
    read: (name) => orNone(() => fs.readFileSync(path.join(folder, name), "utf8"), ""),
    list: (name) => orNone(() => fs.readdirSync(path.join(folder, name)), []),
  };
}

function orNone<T>(read: () => T, none: T): T {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return none;
    throw error;
  }
}

function apply(folder: string, { write, remove }: FileChanges): void {
  for (const [name, text] of write) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true, mode: 0o700 });
    writeAtomic(path.join(folder, name), text);
  }
  for (const name of remove) fs.rmSync(path.join(folder, name), { force: true });
}
