import type { NodeEndpoint } from "../config/types";
import type { SlotRange } from "../topology/plan";

/** One line of CLUSTER NODES: what one node believes of another. */
export interface NodeEntry {
  readonly id: string;
  /** IP address; empty where the node does not know it (`noaddr`, or itself before its first meeting). */
  readonly address: string;
  readonly port: number;
  readonly busPort: number;
  /** Host name that it announces; absent where there is none. */
  readonly hostname?: string;
  readonly role: "master" | "replica";
  readonly myself: boolean;
  /** `fail` is agreed by a majority, `fail?` is this node's own suspicion. */
  readonly health: "ok" | "fail?" | "fail";
  /** Not yet acknowledged: the ID is a random one of this node's making. */
  readonly handshake: boolean;
  readonly noaddr: boolean;
  /** ID of its master, for a replica. */
  readonly masterId?: string;
  readonly configEpoch: number;
  readonly linked: boolean;
  readonly slots: readonly SlotRange[];
  /** Only in a node's own line: slots on their way. */
  readonly openSlots: readonly OpenSlot[];
}

export interface OpenSlot {
  readonly slot: number;
  readonly direction: "migrating" | "importing";
  /** The node at the other end. */
  readonly peerId: string;
}

/** Reads the answer of CLUSTER NODES. Source: https://redis.io/docs/latest/commands/cluster-nodes/ */
export function parseClusterNodes(text: string): NodeEntry[] {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(parseLine);
}

/** Where a node is that is known from what others say of it. Its certificate may carry the name alone. */
export function endpointOf({ address, port, busPort, hostname }: NodeEntry): NodeEndpoint {
  return { address, port, busPort, ...(hostname === undefined ? {} : { hostname }) };
}

function parseLine(line: string): NodeEntry {
  const [id, endpoint, flagList, master, , , epoch, link, ...slotFields] = line.trim().split(" ");
  if (id === undefined || endpoint === undefined || flagList === undefined || link === undefined) {
    throw new Error(`not a line of CLUSTER NODES: ${JSON.stringify(line)}`);
  }
  const flags = new Set(flagList.split(","));
  // ip:port@busPort[,hostname[,aux fields]]; an IPv6 address has colons of its own.
  const match = /^(.*):(\d+)(?:@(\d+))?(?:,([^,]*).*)?$/.exec(endpoint);
  const slots: SlotRange[] = [];
  const openSlots: OpenSlot[] = [];
  for (const field of slotFields) {
    const open = /^\[(\d+)-([<>])-(\w+)\]$/.exec(field);
    if (open) {
      openSlots.push({
        slot: Number(open[1]),
        direction: open[2] === ">" ? "migrating" : "importing",
        peerId: open[3] ?? "",
      });
      continue;
    }
    const [start, end] = field.split("-");
    slots.push({ start: Number(start), end: Number(end ?? start) });
  }
  return {
    id,
    address: match?.[1] ?? "",
    port: Number(match?.[2] ?? 0),
    busPort: Number(match?.[3] ?? 0),
    ...(match?.[4] ? { hostname: match[4] } : {}),
    role: flags.has("master") ? "master" : "replica",
    myself: flags.has("myself"),
    health: flags.has("fail") ? "fail" : flags.has("fail?") ? "fail?" : "ok",
    handshake: flags.has("handshake"),
    noaddr: flags.has("noaddr"),
    ...(master === undefined || master === "-" ? {} : { masterId: master }),
    configEpoch: Number(epoch),
    linked: link === "connected",
    slots,
    openSlots,
  };
}
