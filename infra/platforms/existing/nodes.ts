import { isIP } from "node:net";
import { BUS_PORT_OFFSET } from "../../../components/config/types";
import type { ExistingHost } from "../../../components/formation/runner/existing";
import {
  type Problems,
  readInteger,
  readObject,
  readText,
  refuseUnknownKeys,
  show,
} from "../../../components/spec/reader";

/** Zone of hosts where no zone is declared. */
export const ONE_ZONE = "all";
const LAST_PORT = 65_535;
const DEFAULT_PORT = 6_379;
const FEWEST_NODES = 3;
const WORD = /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/;
const LONGEST_NAME = 63;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

/** Reads the argument `nodes`; every problem of every entry is reported. */
export function readNodes(problems: Problems, cluster: string, value: unknown, port: unknown): ExistingHost[] {
  if (!Array.isArray(value)) {
    problems.error(
      "nodes",
      `got ${show(value)}; must be a plain list of { address, port }: every host of the cluster, known before anything is done`,
    );
    return [];
  }
  // Not map, which leaves out what a list of plain JavaScript does not have.
  const hosts = Array.from(value as unknown[], (entry, index) =>
    readNode(problems, `nodes[${index}]`, cluster, entry, port),
  );
  if (value.length < FEWEST_NODES)
    problems.error(
      "nodes",
      `${value.length} ${value.length === 1 ? "is" : "are"} too few for a cluster; give every host of it, ${FEWEST_NODES} masters at least`,
    );
  checkZones(problems, value, hosts);
  checkTwins(problems, hosts);
  return hosts;
}

/** Zones of the hosts, once each, without those that were reported: what else is wrong can be said then. */
export function zonesOf(hosts: readonly ExistingHost[]): string[] {
  const zones = hosts.map(({ zone }) => zone).filter((zone) => WORD.test(zone));
  const distinct = [...new Map(zones.map((zone) => [zone.toLowerCase(), zone])).values()];
  return distinct.length > 0 ? distinct : [ONE_ZONE];
}

function readNode(problems: Problems, at: string, cluster: string, entry: unknown, commonPort: unknown): ExistingHost {
  const given = readObject(problems, at, entry);
  refuseUnknownKeys(problems, `${at}.`, given, ["address", "port", "busPort", "hostname", "zone", "name"]);
  const address = readText(problems, `${at}.address`, given["address"]) ?? "";
  if (given["address"] === undefined)
    problems.error(`${at}.address`, "is missing; give the IP address that the server announces");
  else if (typeof given["address"] === "string" && isIP(address) === 0)
    problems.error(
      `${at}.address`,
      `${show(address)} is not an IP address; nodes find each other by the addresses that they announce (CLUSTER NODES shows them), so give that one`,
    );
  // A common port that is none was reported once already.
  const common = typeof commonPort === "number" && commonPort > 0 && commonPort + BUS_PORT_OFFSET <= LAST_PORT;
  const fallback = common ? commonPort : DEFAULT_PORT;
  const port = readInteger(
    problems,
    `${at}.port`,
    given["port"],
    fallback,
    portRule("the client port, 6379 by default"),
  );
  const bus = port + BUS_PORT_OFFSET;
  if (given["busPort"] === undefined && bus > LAST_PORT)
    problems.error(
      `${at}.busPort`,
      `is missing, and ${BUS_PORT_OFFSET} above port ${port} is no port; give the server's cluster-port`,
    );
  const busPort = readInteger(problems, `${at}.busPort`, given["busPort"], bus, portRule("the server's cluster-port"));
  if (busPort === port)
    problems.error(`${at}.busPort`, `${busPort} is the client port too; give the server's cluster-port`);
  const zone = readText(problems, `${at}.zone`, given["zone"]);
  if (zone !== undefined && !WORD.test(zone))
    problems.error(
      `${at}.zone`,
      `${show(zone)} is no name of a zone; use letters, digits and hyphens, no hyphen first or last`,
    );
  const made = `${cluster}-${address.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "")}-${port}`;
  const name = readText(problems, `${at}.name`, given["name"]) ?? made;
  if (!WORD.test(name) || name.length > LONGEST_NAME)
    problems.error(
      `${at}.name`,
      `${show(name)} is no name of a node; use letters, digits and hyphens, ${LONGEST_NAME} at most`,
    );
  const hostname = readText(problems, `${at}.hostname`, given["hostname"]);
  if (hostname !== undefined && !HOST_NAME.test(hostname))
    problems.error(
      `${at}.hostname`,
      `${show(hostname)} is no host name; give the one that the server's certificate has`,
    );
  const endpoint = { address, port, busPort, ...(hostname === undefined ? {} : { hostname }) };
  return { name, zone: zone ?? ONE_ZONE, endpoint };
}

function portRule(what: string) {
  return { least: 1, most: LAST_PORT, use: `use ${what}`, useLess: `use ${what}, ${LAST_PORT} at most` };
}

/** Rules about zones hold for all nodes or for none. */
function checkZones(problems: Problems, value: readonly unknown[], hosts: readonly ExistingHost[]): void {
  const named = (i: number) => (value[i] as { zone?: unknown } | null | undefined)?.zone !== undefined;
  const without = hosts.filter((_, i) => !named(i));
  if (without.length > 0 && without.length < hosts.length)
    problems.error(
      "nodes",
      `${without.map(where).join(", ")} ${without.length === 1 ? "has" : "have"} no zone, and the others have one; give every node its zone, or none`,
    );
  const spellings = new Map<string, string>();
  for (const { zone } of hosts) {
    const other = spellings.get(zone.toLowerCase());
    if (other !== undefined && other !== zone)
      problems.error("nodes", `zone ${show(zone)} is also written ${show(other)}; write each zone in one way`);
    spellings.set(zone.toLowerCase(), other ?? zone);
  }
}

function checkTwins(problems: Problems, hosts: readonly ExistingHost[]): void {
  const names = new Map<string, number>();
  const sockets = new Map<string, { index: number; what: string }>();
  hosts.forEach((host, index) => {
    const { address, port, busPort } = host.endpoint;
    const same = sockets.get(`${address}:${port}`);
    if (same?.what === "client port")
      problems.error(
        `nodes[${index}]`,
        `${where(host)} is given already, as nodes[${same.index}]; give each server once`,
      );
    else {
      for (const [what, number] of [
        ["client port", port],
        ["bus port", busPort],
      ] as const) {
        const taken = sockets.get(`${address}:${number}`);
        if (taken && taken.index !== index)
          problems.error(
            `nodes[${index}]`,
            `${what} ${number} of ${address} is the ${taken.what} of nodes[${taken.index}]; give the ports that each server has`,
          );
        else sockets.set(`${address}:${number}`, { index, what });
      }
      const twin = names.get(host.name);
      if (twin !== undefined)
        problems.error(
          `nodes[${index}].name`,
          `${show(host.name)} is the name of nodes[${twin}] too; give each node its own`,
        );
    }
    names.set(host.name, names.get(host.name) ?? index);
  });
}

function where({ endpoint: { address, port } }: ExistingHost): string {
  return `${address}:${port}`;
}
