import type { ClusterCredentials, ClusterInventory, InventoryNode } from "../cluster/inventory";
import { closest } from "../spec/reader";
import { checkCredentials, checkInventory, isFields, Problems, shown, unknownName } from "./check";
import { ioredisOptions } from "./ioredis";
import {
  type ClientNode,
  type ClientSettings,
  type ClientTls,
  type Connection,
  type Endpoint,
  keyOf,
  parseEndpoint,
} from "./settings";

const READ_FROM = ["masters", "replicas", "all"] as const;

/**
 * Checks everything that was given, and puts it together.
 * @throws UnusableInput with every problem: what was got, what is wanted
 */
export function connectionOf(
  inventory: ClusterInventory,
  credentials: ClusterCredentials,
  settings: ClientSettings = {},
): Connection {
  const problems = new Problems();
  const known = checkInventory(inventory, problems);
  const login = checkCredentials(credentials, problems);
  const cluster = isFields(inventory) && typeof inventory.name === "string" ? inventory.name : "the cluster";
  // What follows would stumble over a shape that is not the expected one.
  problems.throwIfAny(cluster);
  if (!known || !login) throw new Error("a problem was found and not told");

  const { readFrom = "masters", plain = false } = checkSettings(settings, problems);
  if (!READ_FROM.includes(readFrom)) problems.add("readFrom", unknownName(readFrom, READ_FROM));
  const user = userOf(credentials, settings.user, problems);
  const tls = plain ? undefined : tlsOf(inventory, credentials, settings.client, problems);
  if (plain) checkPlain(inventory, settings.client, problems);
  const tunnels = settings.published
    ? publishedPorts(inventory, settings, problems)
    : tunnelsOf(settings.tunnels ?? {}, problems);
  const nodes = inventory.shards.flatMap((shard) =>
    shard.nodes.map((node) => nodeOf(shard.name, node, plain && inventory.tls !== undefined, tunnels)),
  );
  if (settings.tunnels !== undefined) checkTunnels(nodes, tunnels, problems);
  problems.throwIfAny(cluster);

  const timeout = inventory.nodeTimeoutMilliseconds;
  return {
    cluster,
    nodes,
    tunnels,
    ...user,
    ...(tls ? { tls } : {}),
    readFrom,
    connectTimeoutMilliseconds: Math.min(Math.max(timeout, CONNECT_TIMEOUT.least), CONNECT_TIMEOUT.most),
    failoverMilliseconds: 2 * timeout + ioredisOptions.slotsRefreshInterval,
  };
}

/**
 * A machine that vanished answers no connection attempt. Waiting for it longer than its replica needs to take over (about the node
 * timeout) gains nothing; less than two seconds would give up on a busy machine, or one that is far away.
 */
const CONNECT_TIMEOUT = { least: 2_000, most: 10_000 };

const SETTINGS = ["user", "client", "readFrom", "tunnels", "published", "plain"];

/** What nobody reads is most often a typing error, and one that is ignored silently costs most. */
function checkSettings(settings: ClientSettings, problems: Problems): ClientSettings {
  if (!isFields(settings)) {
    problems.add("settings", `got ${shown(settings)}; an object is wanted, such as { readFrom: "replicas" }`);
    return {};
  }
  for (const key of Object.keys(settings))
    if (!SETTINGS.includes(key)) {
      const meant = closest(key, SETTINGS);
      problems.add(
        "settings",
        meant
          ? `"${key}" is none; did you mean "${meant}"?`
          : `there is one that is unknown; use ${SETTINGS.join(", ")}`,
      );
    }
  return settings;
}

function userOf(
  credentials: ClusterCredentials,
  wanted: string | undefined,
  problems: Problems,
): { username: string; password?: string } {
  const { username, password, admin, users = {} } = credentials;
  const first = { username, ...(password === undefined ? {} : { password }) };
  if (wanted === undefined || wanted === username) return first;
  const listed = Object.hasOwn(users, wanted) ? users[wanted] : undefined;
  if (listed) return { username: wanted, password: listed.password };
  if (admin && wanted === admin.username) return { ...admin };
  const names = [...new Set([username, ...Object.keys(users), ...(admin ? [admin.username] : [])])].sort();
  problems.add("user", unknownName(wanted, names));
  return first;
}

function tlsOf(
  inventory: ClusterInventory,
  { tls }: ClusterCredentials,
  client: string | undefined,
  problems: Problems,
): ClientTls | undefined {
  if (!inventory.tls || !tls) {
    const apart = "take both outputs from the same `up`";
    if (inventory.tls)
      problems.add("credentials.tls", `got nothing, while the nodes of the inventory take TLS; ${apart}`);
    else if (tls) problems.add("inventory.tls", `got nothing, while the credentials are for TLS; ${apart}`);
    else if (client !== undefined)
      problems.add("client", "this cluster is without TLS, so no certificate is shown; leave it out");
    return undefined;
  }
  const { caCertificatePem, clients = {} } = tls;
  if (client !== undefined) {
    const identity = Object.hasOwn(clients, client) ? clients[client] : undefined;
    if (identity) return { caCertificatePem, certificatePem: identity.certificatePem, keyPem: identity.keyPem };
    problems.add("client", unknownName(client, Object.keys(clients).sort()));
    return undefined;
  }
  const { certificatePem, keyPem } = tls;
  if (certificatePem !== undefined && keyPem !== undefined) return { caCertificatePem, certificatePem, keyPem };
  if (inventory.tls.clientAuth === "yes") {
    const names = Object.keys(clients).sort();
    const mend = names.length > 0 ? `name one of ${names.join(", ")}` : "declare one in the cluster's `tls.clients`";
    problems.add("client", `nodes ask for a certificate, and the credentials have none for applications; ${mend}`);
  }
  return { caCertificatePem };
}

function checkPlain(inventory: ClusterInventory, client: string | undefined, problems: Problems): void {
  if (client !== undefined)
    problems.add("client", "without TLS no certificate is shown; leave out `client` or `plain`");
  if (!inventory.tls) return;
  const without = inventory.shards.flatMap(({ nodes }) => nodes).filter(({ plainPort }) => plainPort === undefined);
  if (without.length > 0) {
    const names = without.map(({ name }) => name).sort();
    problems.add("plain", `${names.join(", ")}: no port without TLS; leave it out, and the connection is by TLS`);
  }
}

/** Listening on every address is listening on its own one too. */
const OWN_ADDRESS: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };

function publishedPorts(
  inventory: ClusterInventory,
  { tunnels, plain = false }: ClientSettings,
  problems: Problems,
): Map<string, Endpoint> {
  if (tunnels !== undefined) problems.add("published", "`tunnels` says where nodes are reached; leave out one of both");
  if (plain && inventory.tls) problems.add("published", "only ports with TLS are published; leave out `plain`");
  const nodes = inventory.shards.flatMap((shard) => shard.nodes);
  const without = nodes.filter(({ published }) => published === undefined).map(({ name }) => name);
  if (without.length > 0)
    problems.add(
      "published",
      `${without.sort().join(", ")}: no published port; declare \`publish\` for the cluster, or leave it out`,
    );
  return new Map(
    nodes.flatMap(({ address, hostname, port, published }) => {
      if (!published) return [];
      const way = { host: OWN_ADDRESS[published.address] ?? published.address, port: published.port };
      return [address, hostname].flatMap((host) => (host === undefined ? [] : [[keyOf({ host, port }), way] as const]));
    }),
  );
}

function tunnelsOf(given: Readonly<Record<string, string>>, problems: Problems): Map<string, Endpoint> {
  const tunnels = new Map<string, Endpoint>();
  for (const [index, [node, way]] of Object.entries(given).entries()) {
    const [from, to] = [parseEndpoint(node), typeof way === "string" ? parseEndpoint(way) : undefined];
    const wanted = 'host:port is wanted, as in { "10.0.1.5:6379": "127.0.0.1:16379" }';
    if (!from) problems.add(`tunnels[${index}]`, `its key is none; ${wanted}`);
    if (!to) problems.add(from ? `tunnels["${node}"]` : `tunnels[${index}]`, `got ${shown(way)}; ${wanted}`);
    if (from && to) tunnels.set(keyOf(from), to);
  }
  return tunnels;
}

function checkTunnels(nodes: readonly ClientNode[], tunnels: ReadonlyMap<string, Endpoint>, problems: Problems): void {
  const without = nodes.filter(({ aliases }) => !aliases.some((alias) => tunnels.has(alias)));
  if (without.length > 0) {
    const names = without.map((node) => `${node.name} (${keyOf(node)})`).sort();
    problems.add(
      "tunnels",
      `none for ${names.join(", ")}; every node needs one, since each may come to lead its shard`,
    );
  }
  const nodesOf = new Map<string, string[]>();
  for (const { name, connectHost, connectPort } of nodes) {
    const way = keyOf({ host: connectHost, port: connectPort });
    nodesOf.set(way, [...(nodesOf.get(way) ?? []), name]);
  }
  for (const [way, names] of nodesOf)
    if (names.length > 1)
      problems.add("tunnels", `${way} is for ${names.sort().join(" and ")}; each needs a port of its own`);
}

function nodeOf(
  shard: string,
  { name, zone, role, address, hostname, port: own, plainPort = own }: InventoryNode,
  plain: boolean,
  tunnels: ReadonlyMap<string, Endpoint>,
): ClientNode {
  const port = plain ? plainPort : own;
  const host = hostname ?? address;
  const aliases = [...new Set([host, address])].map((each) => keyOf({ host: each, port }));
  const tunnel = aliases.map((key) => tunnels.get(key)).find((each) => each !== undefined);
  const way = tunnel ?? { host, port };
  return { name, zone, shard, role, address, host, port, connectHost: way.host, connectPort: way.port, aliases };
}
