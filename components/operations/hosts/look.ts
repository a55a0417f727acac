import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { NodeEndpoint } from "../../config/types";
import type { NodeObservation } from "../../formation/observation";
import { LOOK_MILLISECONDS, parseInfo, parsePairs } from "../../formation/observe";
import type { Connections } from "../../formation/wire";
import type { HostFacts, NodeFacts, ServerFacts } from "./facts";
import { machineFacts, Processes } from "./processes";

/** Asks every server that answers for what bears on its host, and looks for its process on this machine. Reads only; never throws. */
export async function lookAtHosts(observed: readonly NodeObservation[], connections: Connections): Promise<HostFacts> {
  const looks = await Promise.all(
    observed.map(async ({ name, endpoint, answering }) => ({
      name,
      endpoint,
      told: answering ? await ask(endpoint, connections) : undefined,
      addresses: answering && !connections.isProxied ? await addressesOf(endpoint.address) : [],
    })),
  );
  // Other systems have no /proc, and behind a proxy addresses and names are another network's; what servers tell is told there too.
  const processes = process.platform === "linux" && !connections.isProxied ? new Processes() : undefined;
  const nodes = looks.map(({ name, endpoint, told, addresses }): NodeFacts => {
    const { address, port } = endpoint;
    if (!told) return { name, address };
    const { configFile, ...server } = told;
    const pid = server.pid === undefined ? undefined : processes?.find(server.pid, addresses, port);
    if (!processes || pid === undefined) return { name, address, server };
    return { name, address, server: { ...server, process: processes.facts(pid, configFile) } };
  });
  return { machine: processes ? machineFacts() : {}, nodes };
}

async function ask(
  endpoint: NodeEndpoint,
  connections: Connections,
): Promise<ServerFacts & { readonly configFile: string }> {
  const [info, config] = await connections.send(
    endpoint,
    [
      ["INFO", "server"],
      ["CONFIG", "GET", "maxclients", "tcp-backlog", "disable-thp"],
    ],
    { withinMilliseconds: LOOK_MILLISECONDS },
  );
  const fields = parseInfo(info?.ok ? String(info.value) : "");
  const settings = parsePairs(config?.ok ? config.value : []);
  const { os } = fields;
  const number = (name: string, text: string | undefined) => (text ? { [name]: Number(text) } : {});
  return {
    ...(os ? { os } : {}),
    ...number("pid", fields["process_id"]),
    ...number("maxclients", settings["maxclients"]),
    ...number("tcpBacklog", settings["tcp-backlog"]),
    ...(settings["disable-thp"] ? { disableThp: settings["disable-thp"] === "yes" } : {}),
    configFile: fields["config_file"] ?? "",
  };
}

async function addressesOf(host: string): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch {
    // It answered a moment ago: by a way of its own, which does not show where it runs.
    return [];
  }
}
