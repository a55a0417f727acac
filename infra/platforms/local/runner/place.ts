import { BUS_PORT_OFFSET } from "../../../../components/config/types";
import { type FormerPlace, type InstanceRecord, type Neighbour, neighbours } from "./folder";
import { listenedPorts, portProblem } from "./ports";
import { CLIENT_PORT_LIMIT, type PlacementHints, PORT_STRIDE } from "./types";

export interface Place {
  readonly address: string;
  readonly port: number;
  readonly busPort: number;
  readonly portBase: number;
}

/** Thrown where a node cannot have the ports that were asked for. */
export class NoPort extends Error {}

/**
 * Where a node listens. What it had, it keeps: others know it by that. A new node takes the address that its zone already
 * has in this cluster, and ports that are free, reserved by no stopped node on this machine's disk, and chosen by no
 * other new node of the cluster.
 *
 * @param kept what the node has, from its last inputs, else from a run that was interrupted
 * @param former where it was, if nothing says that it still has that. Had again while it is free, and others of its cluster are there, who know it by that
 */
export async function choosePlace(
  folder: string,
  zone: string,
  hints: PlacementHints,
  kept?: Partial<Place>,
  former?: FormerPlace,
): Promise<Place> {
  const portBase = hints.fixedPorts ? hints.firstPort : 0;
  const others = neighbours(folder);
  const siblings = others.filter((other) => other.sameCluster).map((other) => other.record);
  if (!kept && former && mightBeChosen(former, zone, hints, siblings) && (await isFree(former, others)))
    return { address: former.address, port: former.port, busPort: former.port + BUS_PORT_OFFSET, portBase };
  const address = kept?.address ?? addressOf(zone, hints, siblings);
  const stays = kept?.port !== undefined && (portBase === 0 || kept.portBase === portBase);
  const port = stays ? (kept?.port ?? 0) : await choosePort(address, hints, reservedPorts(address, others), siblings);
  return { address, port, busPort: port + BUS_PORT_OFFSET, portBase };
}

/**
 * That the hints lead there, if other addresses and ports are taken: what is declared by now counts, and not what was. A cluster of which nobody
 * has a place any more is made anew, all of it.
 */
function mightBeChosen(
  { zone: former, address, port }: FormerPlace,
  zone: string,
  hints: PlacementHints,
  siblings: InstanceRecord[],
): boolean {
  if (former !== zone || siblings.length === 0) return false;
  const beyond = port - hints.firstPort - hints.offset;
  if (hints.fixedPorts ? beyond !== 0 : beyond < 0 || beyond % PORT_STRIDE !== 0) return false;
  if (!hints.addressPerZone) return address === hints.address;
  const withoutZone = (each: string) => each.split(".").with(2, "").join(".");
  return (
    withoutZone(address) === withoutZone(hints.address) &&
    Number(address.split(".")[2]) >= Number(hints.address.split(".")[2]) &&
    siblings.every((sibling) => (sibling.zone === zone) === (sibling.address === address))
  );
}

async function isFree({ address, port }: FormerPlace, others: Neighbour[]): Promise<boolean> {
  const reserved = reservedPorts(address, others);
  if (reserved.has(port) || reserved.has(port + BUS_PORT_OFFSET)) return false;
  try {
    return (await portProblem(address, port)) === undefined;
  } catch {
    // An address that this machine has no longer.
    return false;
  }
}

function reservedPorts(address: string, others: Neighbour[]): Set<number> {
  return new Set(
    others
      .filter(({ record }) => record.address === address)
      .flatMap(({ record }) => [record.port, record.port + BUS_PORT_OFFSET]),
  );
}

function addressOf(zone: string, hints: PlacementHints, siblings: InstanceRecord[]): string {
  if (!hints.addressPerZone) return hints.address;
  const own = siblings.find((sibling) => sibling.zone === zone);
  if (own) return own.address;
  // A zone that was added later may sort before others: it must not get the address of one that is there.
  const taken = new Set(siblings.map((sibling) => sibling.address));
  const parts = hints.address.split(".").map(Number);
  for (;;) {
    const address = parts.join(".");
    if (!taken.has(address)) return address;
    parts[2] = (parts[2] ?? 0) + 1;
  }
}

async function choosePort(
  address: string,
  hints: PlacementHints,
  reserved: ReadonlySet<number>,
  siblings: InstanceRecord[],
): Promise<number> {
  const wanted = hints.firstPort + hints.offset;
  if (hints.fixedPorts) {
    const problem = await portProblem(address, wanted);
    if (problem)
      throw new NoPort(`${problem}; free it, or choose another \`port\` (or none: free ones are found then)`);
    return wanted;
  }
  let problem: string | undefined;
  const ports: number[] = [];
  for (let port = wanted; port < CLIENT_PORT_LIMIT; port += PORT_STRIDE) ports.push(port);
  // Where another cluster has ports in the same block, a free one may be that of a node of it which is just restarting.
  const known = new Set(siblings.map((sibling) => sibling.port));
  const foreign = [...listenedPorts(address)].filter((port) => !known.has(port));
  const shared = (port: number) =>
    foreign.some((other) => other >= port - hints.offset && other < port - hints.offset + PORT_STRIDE);
  for (const port of [...ports.filter((p) => !shared(p)), ...ports.filter(shared)]) {
    if (reserved.has(port) || reserved.has(port + BUS_PORT_OFFSET)) continue;
    problem = await portProblem(address, port);
    if (!problem) return port;
  }
  throw new NoPort(
    `no free port among ${wanted}, ${wanted + PORT_STRIDE}, … below ${CLIENT_PORT_LIMIT} on ${address}${problem ? ` (${problem})` : ""}; choose another \`port\``,
  );
}
