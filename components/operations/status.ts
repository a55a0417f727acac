import type { ClusterInventory } from "../cluster/inventory";
import { assess, type Finding, type FindingKind } from "../formation/assess";
import { claims, layoutOf, type ShardLayout } from "../formation/layout";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  type NodeObservation,
  self,
} from "../formation/observation";
import { countSlots, expandSlots, formatRange, SLOT_COUNT } from "../formation/slots";
import { NO_SHARD, UNKNOWN_ZONE } from "./discover";
import { goalOfInventory, membersOfInventory } from "./goal";
import type { HostStatus } from "./hosts/judge";
import { remedyFor } from "./remedies";

/** A cluster as it is at one moment, judged by what its topology promises. Plain: this is what `status --json` prints. */
export interface StatusReport {
  /** No issue at all. */
  readonly healthy: boolean;
  readonly name: string;
  /** As the servers report it; as declared where none answers. */
  readonly engine: { readonly name: string; readonly version: string };
  /** ISO 8601, UTC. */
  readonly observedAt: string;
  readonly nodes: { readonly total: number; readonly answering: number };
  /** As CLUSTER INFO counts: slots that some node's view gives to somebody, and slots with exactly one owner that answers. */
  readonly slots: { readonly assigned: number; readonly ok: number };
  readonly shards: readonly ShardStatus[];
  /** What differs from a healthy cluster, in a stable order. */
  readonly issues: readonly StatusIssue[];
  /** When the first of the certificates ends that nodes showed: ISO 8601. Absent without TLS. */
  readonly certificatesExpire?: string;
  /** As the last `up` recorded it; absent where no change of authority is under way. */
  readonly authorityChange?: { readonly stage: number; readonly nextFrom: string };
  /** What servers ask of their hosts, by address. Warnings: none of it makes a cluster degraded. */
  readonly hosts: readonly HostStatus[];
}

export interface ShardStatus {
  readonly name: string;
  /** Inclusive ranges: `"0-5460"`. Of the master that leads; as last recorded while none does. */
  readonly slots: readonly string[];
  readonly nodes: readonly NodeStatus[];
}

export interface NodeStatus {
  readonly name: string;
  readonly zone: string;
  readonly address: string;
  readonly port: number;
  readonly id: string;
  /** By the node's own word; of a silent node, by the others'. */
  readonly role: "master" | "replica" | "unknown";
  /** To its master, for a replica; a master that answers is `up`, a node that does not is `down`. */
  readonly link: "up" | "syncing" | "down";
  readonly answers: boolean;
  /** `cluster_state`; absent for a silent node, as is all that follows. */
  readonly state?: "ok" | "fail";
  readonly version?: string;
  readonly keys?: number;
  /** `maxBytes` 0 is no limit. */
  readonly memory?: { readonly usedBytes: number; readonly maxBytes: number };
  /** When the certificate ends that it showed: ISO 8601. Absent without TLS. */
  readonly certificateExpires?: string;
  /** Only of replicas: bytes of the replication stream not received yet, and seconds since the master's last word. */
  readonly lag?: { readonly bytes: number; readonly seconds: number };
}

export type StatusIssueKind = FindingKind | "loose-node" | "certificate-ends";

export interface StatusIssue {
  readonly kind: StatusIssueKind;
  /** Node, shard or zone that it is about. */
  readonly subject: string;
  readonly message: string;
  /** What to do about it. */
  readonly remedy: string;
}

/** Pure. Measures by the same rules as the verification of `up`, settings aside: an inventory does not name them. */
export function reportStatus(
  inventory: ClusterInventory,
  observation: ClusterObservation,
  observedAt: string,
  hosts: readonly HostStatus[] = [],
): StatusReport {
  const goal = goalOfInventory(inventory);
  const alive = answering(observation);
  const findings = assess(goal, membersOfInventory(inventory), observation);
  const issues = [
    ...grouped(inventory, findings, alive),
    ...looseNodes(inventory, alive),
    ...endingCertificates(alive, new Date(observedAt)),
  ].map((i): StatusIssue => ({ ...i, remedy: remedyFor(i.kind) }));
  const ends = alive.flatMap((n) => n.certificateExpires ?? []).sort();
  const server = alive[0]?.server ?? inventory.engine;
  return {
    healthy: issues.length === 0,
    name: inventory.name,
    engine: { name: server.name, version: server.version },
    observedAt,
    nodes: { total: observation.nodes.length, answering: alive.length },
    slots: slotCounts(observation),
    shards: layoutOf(goal, observation).map((shard) => shardStatus(inventory, shard, observation)),
    issues,
    ...(ends[0] === undefined ? {} : { certificatesExpire: ends[0] }),
    ...(inventory.tls?.authorityChange ? { authorityChange: inventory.tls.authorityChange } : {}),
    hosts,
  };
}

type Ungrouped = Omit<StatusIssue, "remedy">;

/** One sentence about a node that all others doubt, not one from each of them; otherwise as assessed. */
function grouped(
  inventory: ClusterInventory,
  findings: readonly Finding[],
  alive: readonly AnsweringNode[],
): Ungrouped[] {
  const issues: Ungrouped[] = [];
  const said = new Set<string>();
  for (const finding of findings) {
    const { kind } = finding;
    if (kind !== "flagged-node" && kind !== "state-fail") {
      if (kind === "silent-node" && finding.shared !== undefined) {
        // The way to them all: said once.
        if (said.has(finding.shared)) continue;
        said.add(finding.shared);
        const all = findings.filter((f) => f.shared === finding.shared).map((f) => f.subject);
        const who = all.length > 3 ? `${all.length} nodes` : all.join(", ");
        issues.push({
          kind,
          subject: all.length > 1 ? "cluster" : finding.subject,
          message: `${who} ${finding.shared}`,
        });
        continue;
      }
      // The masters that own nothing have a sentence of their own; and nobody declared an even spread where all is discovered.
      const undeclared = kind === "uneven" && inventory.zones.includes(UNKNOWN_ZONE);
      if (finding.subject !== NO_SHARD && !undeclared) issues.push(finding);
    } else if (!said.has(kind)) {
      said.add(kind);
      issues.push(...(kind === "flagged-node" ? doubts(inventory, alive) : [stateFail(alive)]));
    }
  }
  return issues;
}

function stateFail(alive: readonly AnsweringNode[]): Ungrouped {
  const failing = alive.filter((n) => n.state !== "ok").map((n) => n.name);
  const who = failing.length === alive.length ? `all ${count(alive.length, "answering node")}` : failing.join(", ");
  return {
    kind: "state-fail",
    subject: "cluster",
    message: `${who} ${failing.length === 1 ? "says" : "say"} cluster_state:fail and ${failing.length === 1 ? "refuses" : "refuse"} clients`,
  };
}

function doubts(inventory: ClusterInventory, alive: readonly AnsweringNode[]): Ungrouped[] {
  const names = new Map(inventory.shards.flatMap((s) => s.nodes.map((n) => [n.id, n.name] as const)));
  for (const node of alive) names.set(node.id, node.name);
  const byDoubt = new Map<string, { subject: string; doubt: string; by: string[] }>();
  for (const node of alive) {
    for (const entry of node.view) {
      const doubt = entry.handshake
        ? "handshake"
        : entry.noaddr
          ? "noaddr"
          : entry.health === "ok"
            ? undefined
            : entry.health;
      if (doubt === undefined) continue;
      const at = `${entry.address}:${entry.port}`;
      // The ID of a handshake is made up by each node for itself.
      const subject = names.get(entry.id) ?? (entry.handshake ? at : `${entry.id.slice(0, 8)}… at ${at}`);
      const seen = byDoubt.get(`${subject} ${doubt}`) ?? { subject, doubt, by: [] };
      seen.by.push(node.name);
      byDoubt.set(`${subject} ${doubt}`, seen);
    }
  }
  return [...byDoubt.values()].map(({ subject, doubt, by }) => ({
    kind: "flagged-node",
    subject,
    message: `${by.length === 1 ? by[0] : `${by.length} of ${count(alive.length, "answering node")}`} ${by.length === 1 ? "marks" : "mark"} ${subject} as ${doubt}`,
  }));
}

function looseNodes(inventory: ClusterInventory, alive: readonly AnsweringNode[]): Ungrouped[] {
  const loose = new Set(inventory.shards.filter((s) => s.name === NO_SHARD).flatMap((s) => s.nodes.map((n) => n.name)));
  return alive
    .filter((n) => loose.has(n.name))
    .map((n) => ({
      kind: "loose-node",
      subject: n.name,
      message: `${n.name} is a member that owns no slot and follows no master that does`,
    }));
}

/** So near that somebody should see to it: nodes whose certificates are over do not find each other, and clients do not find them. */
const SOON_DAYS = 7;
const DAY_MILLISECONDS = 86_400_000;

function endingCertificates(alive: readonly AnsweringNode[], now: Date): Ungrouped[] {
  const byEnd = new Map<string, string[]>();
  for (const { name, certificateExpires: end } of alive) {
    if (end === undefined || new Date(end).getTime() - now.getTime() > SOON_DAYS * DAY_MILLISECONDS) continue;
    byEnd.set(end, [...(byEnd.get(end) ?? []), name]);
  }
  return [...byEnd].sort().map(([end, names]) => {
    const who =
      names.length === alive.length && names.length > 1
        ? `all ${count(names.length, "answering node")}`
        : names.join(", ");
    const isOver = new Date(end) <= now;
    return {
      kind: "certificate-ends",
      subject: names.length === 1 ? (names[0] ?? "") : "cluster",
      message: `${who} ${names.length === 1 ? "shows" : "show"} a certificate that ${isOver ? "ended" : "ends"} at ${end}`,
    };
  });
}

function slotCounts(observation: ClusterObservation): StatusReport["slots"] {
  const { unowned, contested } = claims(observation);
  const assigned = new Set(answering(observation).flatMap((n) => n.view.flatMap((e) => expandSlots(e.slots))));
  return { assigned: assigned.size, ok: SLOT_COUNT - countSlots(unowned) - countSlots(contested) };
}

function shardStatus(
  inventory: ClusterInventory,
  { planned, leader, slots }: ShardLayout,
  observation: ClusterObservation,
): ShardStatus {
  const recorded = new Map(inventory.shards.flatMap((s) => s.nodes.map((n) => [n.name, n] as const)));
  return {
    name: planned.name,
    slots: slots.map(formatRange),
    nodes: planned.nodes.flatMap(({ name, zone }) => {
      const node = observation.nodes.find((n) => n.name === name);
      if (!node) return [];
      const { address, port } = node.endpoint;
      const base = { name, zone, address, port };
      return node.answering
        ? { ...base, ...answeringStatus(node, leader) }
        : {
            ...base,
            id: recorded.get(name)?.id ?? "",
            role: believedRole(node, recorded.get(name)?.id, observation),
            link: "down" as const,
            answers: false,
          };
    }),
  };
}

function answeringStatus(
  node: AnsweringNode,
  leader: AnsweringNode | undefined,
): Omit<NodeStatus, "name" | "zone" | "address" | "port"> {
  const { role } = self(node);
  const { linkUp, syncing, offset, lagSeconds } = node.replication;
  // The two were not asked at the same instant: a replica may seem ahead by a little.
  const behind = leader ? Math.max(0, leader.replication.offset - offset) : 0;
  return {
    id: node.id,
    role,
    link: syncing ? "syncing" : linkUp ? "up" : "down",
    answers: true,
    state: node.state,
    version: node.server.version,
    keys: node.keys,
    memory: node.memory,
    ...(node.certificateExpires === undefined ? {} : { certificateExpires: node.certificateExpires }),
    ...(role === "replica" ? { lag: { bytes: behind, seconds: lagSeconds } } : {}),
  };
}

/** The others may differ while a failover spreads; the latest word is the one with the highest epoch. */
function believedRole(
  node: NodeObservation,
  id: string | undefined,
  observation: ClusterObservation,
): NodeStatus["role"] {
  const { address, port } = node.endpoint;
  const entries = answering(observation).flatMap((n) =>
    n.view.filter((e) => (id ? e.id === id : e.address === address && e.port === port)),
  );
  return entries.sort((a, b) => b.configEpoch - a.configEpoch)[0]?.role ?? "unknown";
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
