import { BUS_PORT_OFFSET } from "../../../../components/config/types";
import { type InstanceRecord, neighbours } from "./folder";
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
 */
export async function choosePlace(
  folder: string,
  zone: string,
  hints: PlacementHints,
  kept?: Partial<Place>,
): Promise<Place> {
  const portBase = hints.fixedPorts ? hints.firstPort : 0;
  const others = neighbours(folder);
  const siblings = others.filter((other) => other.sameCluster).map((other) => other.record);
  const address = kept?.address ?? addressOf(zone, hints, siblings);
  const stays = kept?.port !== undefined && (portBase === 0 || kept.portBase === portBase);
  const port = stays
    ? (kept?.port ?? 0)
    : await choosePort(
        address,
        hints,
        others.map((other) => other.record),
        siblings,
      );
  return { address, port, busPort: port + BUS_PORT_OFFSET, portBase };
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
  others: InstanceRecord[],
  siblings: InstanceRecord[],
): Promise<number> {
  const wanted = hints.firstPort + hints.offset;
  if (hints.fixedPorts) {
    const problem = await portProblem(address, wanted);
    if (problem)
      throw new NoPort(`${problem}; free it, or choose another \`port\` (or none: free ones are found then)`);
    return wanted;
  }
  const reserved = new Set(
    others.filter((other) => other.address === address).flatMap(({ port }) => [port, port + BUS_PORT_OFFSET]),
  );
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
