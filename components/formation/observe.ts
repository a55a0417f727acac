import { createHash } from "node:crypto";
import { ProxyError } from "../access/proxyError";
import { parseAclLine } from "../config/aclList";
import { hostAndPort, type NodeEndpoint } from "../config/types";
import type { ObservedCertificates } from "./certificates";
import { endpointOf, parseClusterNodes } from "./clusterNodes";
import { type FormationGoal, type Machine, type Member, settingsOf } from "./goal";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  isBlank,
  type NodeObservation,
  self,
} from "./observation";
import type { ObservedUsers } from "./users";
import { type Answer, type Command, type Connections, LOGIN_REFUSED, SILENT_ONCE_CONNECTED } from "./wire";

/** Asks every node of the goal, and every member that is to leave, all at once. Sends reading commands only. */
export async function observe(
  goal: FormationGoal,
  connections: Connections,
  members: readonly Member[] = [],
  machines: readonly Machine[] = [],
): Promise<ClusterObservation> {
  const nodes = goal.plan.shards.flatMap((s) => s.nodes);
  const settings = askedSettings(goal);
  const asked = whatIsAsked(goal);
  const planned = new Set(nodes.map((n) => n.name));
  // Where its machine is now counts more than where it was when it was recorded.
  const current = new Map(machines.map((m) => [m.name, m.endpoint]));
  const leaving = members
    .filter((m) => m.state === "member" && !planned.has(m.name))
    .map((m) => ({ ...m, endpoint: current.get(m.name) ?? m.endpoint }));
  const recorded = new Set(leaving.map((m) => m.name));
  const unrecorded = machines.filter((m) => !planned.has(m.name) && !recorded.has(m.name));
  const looks = await Promise.all([
    ...nodes.map((node) => {
      const endpoint = goal.endpoints[node.name];
      if (!endpoint) throw new Error(`no endpoint is known for node ${node.name}`);
      return observeNode(node.name, endpoint, settings, connections, asked);
    }),
    ...[...leaving, ...unrecorded].map(async ({ name, endpoint, shard, zone }) => ({
      ...(await observeNode(name, endpoint, settings, connections, asked)),
      leaving: { shard, zone },
    })),
  ]);
  return { nodes: withoutUnrelated(looks, new Set(unrecorded.map((m) => m.name))) };
}

interface Asked {
  readonly users: boolean;
  readonly certificates: boolean;
}

function whatIsAsked({ logins, certificates }: FormationGoal): Asked {
  return { users: logins !== undefined, certificates: certificates !== undefined };
}

function askedSettings(goal: FormationGoal): string[] {
  const [node = ""] = Object.keys(goal.endpoints);
  return Object.keys(settingsOf(goal, node)).sort();
}

/**
 * Without those of these machines that have never joined: nobody of the cluster knows them, and they have no business in it. Whoever has been met
 * tells of others at once, before those who met them have their IDs; so whom a newcomer knows is of the cluster too. And so is who owns
 * slots that it lacks, and knows a node of it, though all may have forgotten that one: it may hold the only copy of their keys.
 */
export function withoutUnrelated(
  nodes: readonly NodeObservation[],
  unrecorded: ReadonlySet<string>,
): readonly NodeObservation[] {
  let related = nodes.filter((node) => !unrecorded.has(node.name));
  for (;;) {
    const more = nodes.filter(
      (node) =>
        related.includes(node) || related.some((other) => knows(other, node)) || holdsWhatTheyLack(node, related),
    );
    if (more.length === related.length) return more;
    related = more;
  }
}

/** By its ID; by its address, where nobody knows which ID it has, or it has another one since it was reset. */
function knows(one: NodeObservation, other: NodeObservation): boolean {
  if (!one.answering) return false;
  const byAddress = !other.answering || isBlank(other);
  const at = hostAndPort(other.endpoint);
  return one.view.some((e) => (other.answering && e.id === other.id) || (byAddress && hostAndPort(e) === at));
}

/**
 * It owns slots, knows one of these, and none of them names any owner of any of those slots. Else it may be a former owner, whose older
 * claim must win over nobody.
 */
function holdsWhatTheyLack(one: NodeObservation, related: readonly NodeObservation[]): boolean {
  if (!one.answering) return false;
  const others = answering({ nodes: related });
  const ids = new Set(others.map((n) => n.id));
  const own = self(one).slots;
  if (own.length === 0 || !one.view.some((e) => ids.has(e.id))) return false;
  const named = others.flatMap((n) => n.view.flatMap((e) => e.slots));
  return own.every((slots) => !named.some(({ start, end }) => slots.start <= end && start <= slots.end));
}

/** Asks those too that are in the views of these nodes and that nobody has named: a run that was killed may have added them. */
export async function observeStrangers(
  goal: FormationGoal,
  members: readonly Member[],
  { nodes }: ClusterObservation,
  connections: Connections,
): Promise<NodeObservation[]> {
  const alive = answering({ nodes });
  const ours = new Set([...alive, ...members].map(({ id }) => id));
  const asked = new Set(nodes.map((n) => hostAndPort(n.endpoint)));
  const strange = alive
    .flatMap((n) => n.view)
    .filter((e) => !e.handshake && !e.noaddr && !ours.has(e.id) && !asked.has(hostAndPort(e)));
  const places = new Map(strange.map((e) => [hostAndPort(e), endpointOf(e)]));
  const settings = askedSettings(goal);
  const about = whatIsAsked(goal);
  return Promise.all([...places].map(([name, endpoint]) => observeNode(name, endpoint, settings, connections, about)));
}

/** A node that hangs must not hold up the look at the others. */
export const LOOK_MILLISECONDS = 3_000;

export async function observeNode(
  name: string,
  endpoint: NodeEndpoint,
  settings: readonly string[],
  connections: Connections,
  asked: Asked = { users: false, certificates: false },
): Promise<NodeObservation> {
  const commands: Command[] = [
    ["CLUSTER", "MYID"],
    ["CLUSTER", "NODES"],
    ["CLUSTER", "INFO"],
    ["INFO", "server", "memory", "replication", "persistence", "cluster"],
    ["DBSIZE"],
    ["CONFIG", "GET", "cluster-node-timeout", ...settings],
    ...(asked.users ? USERS : []),
    ...(asked.certificates ? CERTIFICATES : []),
  ];
  const answers = await connections.send(endpoint, commands, { withinMilliseconds: LOOK_MILLISECONDS });
  const info = answers[3];
  const fields = parseInfo(info?.ok ? String(info.value) : "");
  // Without cluster mode every CLUSTER command fails; that is an answer too, and a finding of its own.
  if (fields["cluster_enabled"] === "0") return withoutCluster(name, endpoint, fields);
  // Whoever only looks may not be let see settings (CONFIG GET prints passwords): then those stay unknown that nobody asked for.
  const declined = answers[5];
  const unseen = settings.length === 0 && declined?.ok === false && /^NOPERM/.test(declined.error.message);
  const failed = answers.find((a) => !a.ok && !(unseen && a === declined));
  if (failed && !failed.ok) {
    const notListening = (failed.error as { code?: string }).code === "ECONNREFUSED";
    const reason = reasonOf(failed.error) + loadedSoFar(fields);
    return { answering: false, name, endpoint, reason, ...(notListening ? { notListening } : {}) };
  }
  const [id, view, clusterInfo, , keys, config, ...more] = answers.map((a: Answer) => (a.ok ? a.value : undefined));
  const [list, login] = asked.users ? more.splice(0, USERS.length) : [];
  const shown = connections.certificateOf(endpoint);
  const cluster = parseInfo(String(clusterInfo));
  return {
    ...basics(name, endpoint, fields),
    id: String(id),
    view: parseClusterNodes(String(view)),
    state: cluster["cluster_state"] === "ok" ? "ok" : "fail",
    currentEpoch: Number(cluster["cluster_current_epoch"] ?? 0),
    keys: Number(keys),
    settings: parsePairs(config),
    ...(asked.users ? { users: observedUsers(list, parsePairs(login)) } : {}),
    ...(asked.certificates ? { certificates: observedCertificates(parsePairs(more[0]), shown) } : {}),
    ...(shown ? { certificateExpires: shown.notAfter } : {}),
  };
}

const CERTIFICATES: readonly Command[] = [["CONFIG", "GET", "tls-cert-file", "tls-ca-cert-file"]];

function observedCertificates(
  files: Record<string, string>,
  shown: ObservedCertificates["shown"],
): ObservedCertificates {
  return { certificateFile: files["tls-cert-file"] ?? "", trustFile: files["tls-ca-cert-file"] ?? "", shown };
}

const USERS: readonly Command[] = [
  ["ACL", "LIST"],
  ["CONFIG", "GET", "aclfile", "masteruser", "masterauth"],
];

/** Servers tell the password that replicas log in with; nobody else is to hold it in hands. */
function observedUsers(
  list: unknown,
  { aclfile, masteruser = "", masterauth = "" }: Record<string, string>,
): ObservedUsers {
  const lines = Array.isArray(list) ? list.map(String) : [];
  return {
    reported: lines.flatMap((line) => parseAclLine(line) ?? []),
    replication: { username: masteruser, passwordHash: masterauth === "" ? "" : sha256(masterauth) },
    aclFile: (aclfile ?? "") !== "",
  };
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function basics(name: string, endpoint: NodeEndpoint, fields: Record<string, string>) {
  const valkey = fields["valkey_version"];
  const replica = fields["role"] === "slave";
  return {
    answering: true as const,
    name,
    endpoint,
    server: {
      name: valkey === undefined ? ("redis" as const) : ("valkey" as const),
      version: valkey ?? fields["redis_version"] ?? "",
      clusterEnabled: fields["cluster_enabled"] === "1",
    },
    memory: { usedBytes: Number(fields["used_memory"] ?? 0), maxBytes: Number(fields["maxmemory"] ?? 0) },
    replication: {
      linkUp: !replica || fields["master_link_status"] === "up",
      syncing: fields["master_sync_in_progress"] === "1" || fields["loading"] === "1",
      offset: Number((replica ? fields["slave_repl_offset"] : fields["master_repl_offset"]) ?? 0),
      ...progressOf(fields),
      lagSeconds: replica ? Math.max(0, Number(fields["master_last_io_seconds_ago"] ?? 0)) : 0,
    },
    ...unsavedOf(fields),
  };
}

function unsavedOf(fields: Record<string, string>): { unsaved?: string } {
  if (fields["aof_enabled"] !== "1")
    return fields["rdb_last_bgsave_status"] === "err"
      ? { unsaved: "its last dump failed (rdb_last_bgsave_status: err)" }
      : {};
  if (fields["aof_last_write_status"] === "err")
    return { unsaved: "its append-only file cannot be written (aof_last_write_status: err)" };
  const rewrites = fields["aof_rewrite_in_progress"] === "1" || fields["aof_rewrite_scheduled"] === "1";
  return rewrites && fields["aof_base_size"] === "0" ? { unsaved: "its first append-only file is being written" } : {};
}

/** Bytes and keys that a copy, a dump or a load has come to. */
function progressOf(fields: Record<string, string>): { progress?: string } {
  const counters = [
    fields["master_sync_in_progress"] === "1" && fields["master_sync_read_bytes"],
    fields["rdb_bgsave_in_progress"] === "1" && fields["current_save_keys_processed"],
    fields["loading"] === "1" && fields["loading_loaded_bytes"],
  ].map((counter) => counter || "");
  return counters.some((counter) => counter !== "") ? { progress: counters.join("/") } : {};
}

function loadedSoFar(fields: Record<string, string>): string {
  if (fields["loading"] !== "1") return "";
  return ` (${Number(fields["loading_loaded_bytes"] ?? 0).toLocaleString("en-US")} bytes so far)`;
}

function withoutCluster(name: string, endpoint: NodeEndpoint, fields: Record<string, string>): AnsweringNode {
  const id = `no-cluster-mode:${name}`;
  const own = {
    id,
    address: endpoint.address,
    port: endpoint.port,
    busPort: 0,
    role: "master" as const,
    myself: true,
    health: "ok" as const,
  };
  return {
    ...basics(name, endpoint, fields),
    id,
    view: [{ ...own, handshake: false, noaddr: false, configEpoch: 0, linked: true, slots: [], openSlots: [] }],
    state: "fail",
    currentEpoch: 0,
    keys: 0,
    settings: {},
  };
}

/** What went wrong, short enough for one line. */
export function reasonOf(error: Error): string {
  const code = (error as { code?: string }).code;
  if (error instanceof ProxyError && code !== "ECONNREFUSED") return error.message;
  if (code === "ECONNREFUSED") return "connection refused (no server listens there)";
  if (error.message === SILENT_ONCE_CONNECTED) return error.message;
  if (code === "ETIMEDOUT" || /timed? ?out/i.test(error.message)) return "no answer in time";
  if (LOGIN_REFUSED.test(error.message))
    return `it refuses the login (${error.message.split(" ")[0]}): its users or passwords are not those that are known here`;
  if (/^NOPERM/.test(error.message))
    return `its user may not look (${error.message}): log in as one that may, such as admin`;
  if (/^LOADING/.test(error.message)) return "still loading its data";
  return error.message || code || error.name;
}

/** The `name:value` lines of INFO and CLUSTER INFO. */
export function parseInfo(text: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0 && !line.startsWith("#")) fields[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return fields;
}

/** CONFIG GET: a flat list of names and values, or a map in RESP3. */
export function parsePairs(value: unknown): Record<string, string> {
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [String(k), String(v)]));
  if (!Array.isArray(value))
    return Object.fromEntries(Object.entries((value ?? {}) as object).map(([k, v]) => [k, String(v)]));
  const settings: Record<string, string> = {};
  for (let i = 0; i + 1 < value.length; i += 2) settings[String(value[i])] = String(value[i + 1]);
  return settings;
}
