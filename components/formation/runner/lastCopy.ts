import { setTimeout } from "node:timers/promises";
import type { NodeEndpoint } from "../../config/types";
import { type NodeEntry, parseClusterNodes } from "../clusterNodes";
import { type AnsweringNode, self } from "../observation";
import { observeNode, parseInfo } from "../observe";
import { type Access, Connections } from "../wire";

const DEFAULT_NODE_TIMEOUT_MILLISECONDS = 15_000;

/** A node whose server is about to come back, and what it has on disk. */
export interface ReturningNode {
  readonly name: string;
  readonly endpoint: Pick<NodeEndpoint, "address" | "port" | "busPort">;
  /** Text of its redis.conf: CONFIG REWRITE keeps it true. */
  readonly config: string;
  /** There is an append-only file. */
  readonly appendOnlyFile: boolean;
  /** When what the server would come back with was all it had, in milliseconds of the epoch: the begin of its dump, not its end. Without one: negative infinity. */
  readonly dumpBegan: number;
}

/** Another node of the same cluster, as its own files say. */
export interface Fellow {
  readonly name: string;
  readonly endpoint: NodeEndpoint;
  /** Text of its nodes.conf. */
  readonly nodesConf: string;
  readonly runs: boolean;
}

/**
 * A server that comes back without its data, or with those of its last dump, while replicas still follow its address makes them copy
 * that, whatever its ID. So it stays away until nobody that has later data follows that address any more: a replica is elected, or, where too few
 * leaders are left to elect anybody, the one with the most data takes the slots over without being elected. That is safe only
 * where the leader is known to be dead, as the caller knows by its process.
 * @param fellows asked again and again
 * @throws Error where a replica goes on following: the server must not be started then
 */
export async function letReplicaLead(
  node: ReturningNode,
  fellows: () => Promise<readonly Fellow[]>,
  access: Access = {},
): Promise<void> {
  if (keepsEveryWrite(node) || !(await fellows()).some((fellow) => mentions(fellow, node))) return;
  const connections = new Connections("pulumi-redis-cluster:guard", access);
  try {
    await waitForLeader(node, fellows, connections);
  } finally {
    connections.close();
  }
}

/** Is all on disk that the server had in memory? An append-only file that a former setting left behind is as old as that. */
function keepsEveryWrite({ appendOnlyFile, config }: ReturningNode): boolean {
  return appendOnlyFile && /^\s*appendonly\s+"?yes/m.test(config || "appendonly yes");
}

/** How RDB writes an integer of 32 bits. */
const INTEGER = 0xc2;
export const DUMP_HEADER_BYTES = 256;

/** When a dump was begun, in milliseconds of the epoch, by its first bytes. Undefined where they do not say so. */
export function dumpBegan(header: Buffer): number | undefined {
  const at = header.indexOf("ctime") + "ctime".length;
  return at >= "ctime".length && header[at] === INTEGER ? header.readInt32LE(at + 1) * 1_000 : undefined;
}

async function waitForLeader(
  node: ReturningNode,
  fellows: () => Promise<readonly Fellow[]>,
  connections: Connections,
): Promise<void> {
  const milliseconds = 2 * nodeTimeout(node) + 3_000;
  const since = node.dumpBegan;
  const disk =
    since === Number.NEGATIVE_INFINITY ? "no data on disk" : "an older dump on disk than what its replica holds";
  let until = Date.now() + milliseconds;
  let told = false;
  let forced = false;
  for (;;) {
    const { following, silent } = await followersOf(node, await fellows(), connections);
    if (following.length === 0 && silent.length === 0) return;
    if (!told)
      console.log(
        `${node.name}: ${disk}: the server stays away until a replica leads, or that would copy it seconds=${Math.round(milliseconds / 1000)}`,
      );
    told = true;
    const heir = following.sort((a, b) => b.replication.offset - a.replication.offset)[0];
    if (Date.now() >= until) {
      if (forced || !heir) {
        const names = [...following, ...silent].map(({ name }) => name).join(", ");
        throw new Error(
          `${node.name} was not started: it has ${disk}, and ${names} may hold the only copy and would lose it by following the server. Let ${heir?.name ?? names} lead (CLUSTER FAILOVER TAKEOVER on it), then run \`up\` again`,
        );
      }
      console.log(`${heir.name}: no majority to elect a leader: it takes its shard over by itself keys=${heir.keys}`);
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
  node: ReturningNode,
  fellows: readonly Fellow[],
  connections: Connections,
): Promise<{ following: AnsweringNode[]; silent: { name: string }[] }> {
  const since = node.dumpBegan;
  const following: AnsweringNode[] = [];
  const silent: { name: string }[] = [];
  const running = fellows.filter((fellow) => mentions(fellow, node) && fellow.runs);
  await Promise.all(
    running.map(async (fellow) => {
      const { name, endpoint } = fellow;
      const seen = await observeNode(name, endpoint, [], connections);
      if (!seen.answering) {
        if (since === Number.NEGATIVE_INFINITY && followsOnDisk(fellow, node)) silent.push({ name });
        return;
      }
      const master = seen.view.find((e) => e.id === self(seen).masterId);
      const follows = seen.keys > 0 && master !== undefined && isAt(master, node);
      if (follows && (await heardUntil(endpoint, connections)) >= since) following.push(seen);
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
export function mentions(
  { nodesConf }: Pick<Fellow, "nodesConf">,
  { endpoint: { address, busPort } }: Pick<ReturningNode, "endpoint">,
): boolean {
  const ends = new RegExp(`@${busPort}(,|$)`);
  return nodesConf.split(" ").some((word) => word.startsWith(`${address}:`) && ends.test(word));
}

function isAt(entry: NodeEntry, { endpoint: { address, busPort } }: ReturningNode): boolean {
  return entry.address === address && entry.busPort === busPort;
}

/** What a nodes.conf says, without its last line. */
export function viewOnDisk(nodesConf: string): NodeEntry[] {
  const lines = nodesConf.split("\n").filter((line) => line !== "" && !line.startsWith("vars "));
  return parseClusterNodes(lines.join("\n"));
}

function followsOnDisk({ nodesConf }: Fellow, node: ReturningNode): boolean {
  const view = viewOnDisk(nodesConf);
  const master = view.find((e) => e.id === view.find((own) => own.myself)?.masterId);
  return master !== undefined && isAt(master, node);
}

function nodeTimeout({ config }: ReturningNode): number {
  const given = /^\s*cluster-node-timeout\s+"?(\d+)/m.exec(config)?.[1];
  return Number(given) || DEFAULT_NODE_TIMEOUT_MILLISECONDS;
}

/** What a node's certificate may carry instead of its address, by its redis.conf. */
export function announcedName(config: string): Pick<NodeEndpoint, "hostname"> {
  const hostname = /^\s*cluster-announce-hostname\s+"?([^"\s]+)/m.exec(config)?.[1];
  return hostname === undefined ? {} : { hostname };
}
