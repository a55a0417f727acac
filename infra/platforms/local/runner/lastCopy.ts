import * as fs from "node:fs";
import * as path from "node:path";
import { BUS_PORT_OFFSET } from "../../../../components/config/types";
import {
  announcedName,
  DUMP_HEADER_BYTES,
  dumpBegan,
  type Fellow,
  letReplicaLead as letReplicaLeadInstead,
  mentions,
  viewOnDisk,
} from "../../../../components/formation/runner/lastCopy";
import type { Access } from "../../../../components/formation/wire";
import { FILES, readInstanceRecord, siblings } from "./folder";
import { serverOf } from "./server";

const DATA = ["dump.rdb", "appendonlydir"];

export function hasData(folder: string): boolean {
  return DATA.some((name) => fs.existsSync(path.join(folder, name)));
}

interface Place {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/**
 * Waits until the server may come back without making its replicas copy less than they have. The leader is this machine's own
 * process and known to be dead.
 * @throws Error where a replica goes on following: the server must not be started then
 */
export function letReplicaLead(folder: string, place: Place, access: Access = {}): Promise<void> {
  const node = {
    name: place.name,
    endpoint: endpointAt(place),
    config: textOf(folder, FILES.config),
    appendOnlyFile: fs.existsSync(path.join(folder, "appendonlydir")),
    dumpBegan: dumpOnDiskBegan(folder),
  };
  return letReplicaLeadInstead(node, async () => siblings(folder).flatMap(fellow), access);
}

function endpointAt({ address, port }: Omit<Place, "name">) {
  return { address, port, busPort: port + BUS_PORT_OFFSET };
}

function fellow(folder: string): Fellow[] {
  const record = readInstanceRecord(folder);
  if (!record) return [];
  return [
    {
      name: path.basename(folder),
      endpoint: { ...endpointAt(record), ...announcedName(textOf(folder, FILES.config)) },
      nodesConf: textOf(folder, "nodes.conf"),
      // Asked of few only.
      get runs() {
        return serverOf(folder) !== undefined;
      },
    },
  ];
}

function dumpOnDiskBegan(folder: string): number {
  const file = path.join(folder, "dump.rdb");
  if (!fs.existsSync(file)) return Number.NEGATIVE_INFINITY;
  const header = Buffer.alloc(DUMP_HEADER_BYTES);
  const descriptor = fs.openSync(file, "r");
  try {
    fs.readSync(descriptor, header);
    return dumpBegan(header) ?? fs.fstatSync(descriptor).mtimeMs;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Was a node never of a cluster? Nothing is in its folder but itself, and no other node of its cluster knows it by its address. */
export function isBlank(folder: string, place: Place): boolean {
  const node = { endpoint: endpointAt(place) };
  const known = siblings(folder).some((other) => mentions({ nodesConf: textOf(other, "nodes.conf") }, node));
  if (hasData(folder) || known) return false;
  return viewOnDisk(textOf(folder, "nodes.conf")).every(({ myself, slots }) => myself && slots.length === 0);
}

function textOf(folder: string, name: string): string {
  try {
    return fs.readFileSync(path.join(folder, name), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
