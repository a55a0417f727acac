import * as fs from "node:fs";
import * as path from "node:path";
import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../../../../components/config/types";
import { type NodeEntry, parseClusterNodes } from "../../../../components/formation/clusterNodes";
import { type AnsweringNode, self } from "../../../../components/formation/observation";
import { observeNode, parseInfo } from "../../../../components/formation/observe";
import { type Access, Connections } from "../../../../components/formation/wire";
import { readInstanceRecord, siblings } from "./folder";
import { say } from "./say";
import { serverOf } from "./server";
import { BUS_PORT_OFFSET } from "./types";

const DATA = ["dump.rdb", "appendonlydir"];
const DEFAULT_NODE_TIMEOUT_MILLISECONDS = 15_000;

export function hasData(folder: string): boolean {
  return DATA.some((name) => fs.existsSync(path.join(folder, name)));
}

interface Place {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/**
 * A server that comes back without its data, or with those of its last dump, while replicas still follow its address makes them copy
 * that, whatever its ID. So it stays away until nobody that has later data follows that address any more: a replica is elected, or, where too few
 * leaders are left to elect anybody, the one with the most data takes the slots over without being elected. That is safe here, since the
 * leader is this machine's own process and known to be dead.
 * @throws Error where a replica goes on following: the server must not be started then
 */
export async function letReplicaLead(folder: string, place: Place, access: Access = {}): Promise<void> {
  if (keepsEveryWrite(folder) || !siblings(folder).some((sibling) => mentions(sibling, place))) return;
  const connections = new Connections("pulumi-redis-cluster:local", access);
  try {
    await waitForLeader(folder, place, connections);
  } finally {
    connections.close();
  }
}

/** Is all on disk that the server had in memory? An append-only file that a former setting left behind is as old as that. */
function keepsEveryWrite(folder: string): boolean {
  const kept = fs.existsSync(path.join(folder, "appendonlydir"));
  return kept && /^\s*appendonly\s+"?yes/m.test(configText(folder) || "appendonly yes");
}

const DUMP_HEADER_BYTES = 256;
/** How RDB writes an integer of 32 bits. */
const INTEGER = 0xc2;

/** When what the server would come back with was all it had, in milliseconds of the epoch: the begin of its dump, not its end. */
function dataOnDiskSince(folder: string): number {
  const file = path.join(folder, "dump.rdb");
  if (!fs.existsSync(file)) return Number.NEGATIVE_INFINITY;
  const header = Buffer.alloc(DUMP_HEADER_BYTES);
  const descriptor = fs.openSync(file, "r");
  try {
    fs.readSync(descriptor, header);
    const at = header.indexOf("ctime") + "ctime".length;
    if (at >= "ctime".length && header[at] === INTEGER) return header.readInt32LE(at + 1) * 1_000;
    return fs.fstatSync(descriptor).mtimeMs;
  } finally {
    fs.closeSync(descriptor);
  }
}

async function waitForLeader(folder: string, place: Place, connections: Connections): Promise<void> {
  const milliseconds = 2 * nodeTimeout(folder) + 3_000;
  const since = dataOnDiskSince(folder);
  const disk =
    since === Number.NEGATIVE_INFINITY ? "no data on disk" : "an older dump on disk than what its replica holds";
  let until = Date.now() + milliseconds;
  let told = false;
  let forced = false;
  for (;;) {
    const { following, silent } = await followersOf(folder, place, since, connections);
    if (following.length === 0 && silent.length === 0) return;
    if (!told)
      say(place.name, `${disk}: the server stays away until a replica leads, or that would copy it`, {
        seconds: Math.round(milliseconds / 1000),
      });
    told = true;
    const heir = following.sort((a, b) => b.replication.offset - a.replication.offset)[0];
    if (Date.now() >= until) {
      if (forced || !heir) {
        const names = [...following, ...silent].map(({ name }) => name).join(", ");
        throw new Error(
          `${place.name} was not started: it has ${disk}, and ${names} may hold the only copy and would lose it by following the server. Let ${heir?.name ?? names} lead (CLUSTER FAILOVER TAKEOVER on it), then run \`up\` again`,
        );
      }
      say(heir.name, "no majority to elect a leader: it takes its shard over by itself", { keys: heir.keys });
      const [answer] = await connections.send(heir.endpoint, [["CLUSTER", "FAILOVER", "TAKEOVER"]]);
      if (answer && !answer.ok) throw new Error(`${heir.name} does not take over: ${answer.error.message}`);
      forced = true;
      until = Date.now() + milliseconds;
    }
    await setTimeout(100);
  }
}

/**
 * Nodes of the same cluster that hold keys, follow this address and have heard from it since then; where one does not answer (it
 * loads its data, which are no later than any dump), as its file says.
 */
async function followersOf(
  folder: string,
  place: Place,
  since: number,
  connections: Connections,
): Promise<{ following: AnsweringNode[]; silent: { name: string }[] }> {
  const following: AnsweringNode[] = [];
  const silent: { name: string }[] = [];
  const running = siblings(folder).filter((sibling) => mentions(sibling, place) && serverOf(sibling));
  await Promise.all(
    running.map(async (sibling) => {
      const record = readInstanceRecord(sibling);
      if (!record) return;
      const name = path.basename(sibling);
      const { address, port } = record;
      const endpoint = { address, port, busPort: port + BUS_PORT_OFFSET, ...announcedName(sibling) };
      const node = await observeNode(name, endpoint, [], connections);
      if (!node.answering) {
        if (since === Number.NEGATIVE_INFINITY && followsOnDisk(sibling, place)) silent.push({ name });
        return;
      }
      const master = node.view.find((e) => e.id === self(node).masterId);
      const follows = node.keys > 0 && master !== undefined && isAt(master, place);
      if (follows && (await heardUntil(endpoint, connections)) >= since) following.push(node);
    }),
  );
  return { following, silent };
}

/** Until when a replica had a link to its master, in milliseconds of the epoch. */
async function heardUntil(endpoint: NodeEndpoint, connections: Connections): Promise<number> {
  const [info] = await connections.send(endpoint, [["INFO", "replication"]]);
  const fields = parseInfo(info?.ok ? String(info.value) : "");
  if (fields["master_link_status"] === "up") return Date.now();
  // -1: not since it was started.
  const seconds = Number(fields["master_link_down_since_seconds"] ?? -1);
  return seconds < 0 ? Number.NEGATIVE_INFINITY : Date.now() - seconds * 1_000;
}

/**
 * Cheap, and enough to tell that there is nobody to ask, as when a cluster is made. In nodes.conf a node is known by its bus port: beside
 * it there is the client port, or under TLS, from Redis 7.2 on, that of plain connections, which is 0 where there are none.
 */
function mentions(sibling: string, { address, port }: Place): boolean {
  const ends = new RegExp(`@${port + BUS_PORT_OFFSET}(,|$)`);
  return readNodesConf(sibling)
    .split(" ")
    .some((word) => word.startsWith(`${address}:`) && ends.test(word));
}

function isAt(entry: NodeEntry, { address, port }: Place): boolean {
  return entry.address === address && entry.busPort === port + BUS_PORT_OFFSET;
}

/** Was a node never of a cluster? Nothing is in its folder but itself, and no other node of its cluster knows it by its address. */
export function isBlank(folder: string, place: Place): boolean {
  if (hasData(folder) || siblings(folder).some((sibling) => mentions(sibling, place))) return false;
  return viewOnDisk(folder).every(({ myself, slots }) => myself && slots.length === 0);
}

function viewOnDisk(folder: string): NodeEntry[] {
  const lines = readNodesConf(folder)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("vars "));
  return parseClusterNodes(lines.join("\n"));
}

function followsOnDisk(sibling: string, place: Place): boolean {
  const view = viewOnDisk(sibling);
  const master = view.find((e) => e.id === view.find((own) => own.myself)?.masterId);
  return master !== undefined && isAt(master, place);
}

function readNodesConf(folder: string): string {
  try {
    return fs.readFileSync(path.join(folder, "nodes.conf"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** As the server's own file says: CONFIG REWRITE keeps it true. */
function nodeTimeout(folder: string): number {
  const given = /^\s*cluster-node-timeout\s+"?(\d+)/m.exec(configText(folder))?.[1];
  return Number(given) || DEFAULT_NODE_TIMEOUT_MILLISECONDS;
}

/** What a node's certificate may carry instead of its address. */
function announcedName(folder: string): Pick<NodeEndpoint, "hostname"> {
  const hostname = /^\s*cluster-announce-hostname\s+"?([^"\s]+)/m.exec(configText(folder))?.[1];
  return hostname === undefined ? {} : { hostname };
}

function configText(folder: string): string {
  try {
    return fs.readFileSync(path.join(folder, "redis.conf"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
