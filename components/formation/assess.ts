import { isIP } from "node:net";
import { describeSetting, normalizeSetting } from "../config";
import type { SlotRange } from "../topology/plan";
import { certificateDifferences } from "./certificates";
import type { NodeEntry, OpenSlot } from "./clusterNodes";
import { type FormationGoal, type Member, settingsOf } from "./goal";
import { claims, crowdedZones, layoutOf, viewSignature, zonesOf } from "./layout";
import { unheardNames } from "./names";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  holdsCopyOf,
  openSlotsOf,
  type SilentNode,
  self,
  withoutRetired,
} from "./observation";
import { planMoves } from "./rebalance";
import { isWayThatFails } from "./silent";
import { countSlots, formatRanges, nameSlots, toRanges } from "./slots";
import { userDifferences } from "./users";

/** Something that differs between the goal and what is. No finding at all is what verification asks for. */
export interface Finding {
  readonly kind: FindingKind;
  /** Node, shard or zone that it is about. */
  readonly subject: string;
  /** One sentence: what was seen. */
  readonly message: string;
  /** What several subjects may have in common, as it follows "3 nodes": for a reader, who needs it once. */
  readonly shared?: string;
}

export type FindingKind =
  | "silent-node"
  | "not-cluster-mode"
  | "version-mix"
  | "duplicate-id"
  | "foreign-node"
  | "stale-id"
  | "not-joined"
  | "flagged-node"
  | "other-address"
  | "name-unheard"
  | "slots-unowned"
  | "slots-contested"
  | "views-differ"
  | "state-fail"
  | "open-slot"
  | "uneven"
  | "leaving-node"
  | "no-leader"
  | "led-from-elsewhere"
  | "stray-node"
  | "second-owner"
  | "replica-link"
  | "shard-in-one-zone"
  | "crowded-zone"
  | "setting-differs"
  | "user-differs"
  | "certificate-differs";

/** The open slots of a node, those together that are open in the same direction towards the same node. */
function openBy(node: AnsweringNode): (Pick<OpenSlot, "direction" | "peerId"> & { readonly slots: SlotRange[] })[] {
  const groups = new Map<string, OpenSlot[]>();
  for (const open of openSlotsOf(node)) {
    const key = `${open.direction} ${open.peerId}`;
    groups.set(key, [...(groups.get(key) ?? []), open]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first ? [{ ...first, slots: toRanges(group.map((o) => o.slot)) }] : [];
  });
}

/**
 * Compares what every node reports with the goal, measured by what this topology promises. Pure; stable order.
 * The list is the one place that says what "verified" means: every node answers and agrees on members and slot owners,
 * all 16,384 slots have exactly one owner, `cluster_state:ok` everywhere, no handshake, failure flag, unknown address or
 * open slot, every planned replica follows its shard's leader with its link up, zone rules as promised, settings as declared.
 */
export function assess(goal: FormationGoal, members: readonly Member[], observed: ClusterObservation): Finding[] {
  const observation = withoutRetired(observed);
  const findings: Finding[] = [];
  const report: Report = (kind, subject, message, shared) =>
    findings.push({ kind, subject, message, ...(shared === undefined ? {} : { shared }) });

  const alive = answering(observation);
  for (const node of observation.nodes) {
    if (!node.answering && !node.leaving)
      report(
        "silent-node",
        node.name,
        `${node.name} at ${node.endpoint.address}:${node.endpoint.port} does not answer: ${node.reason}`,
        isWayThatFails(node) ? `cannot be reached: ${node.reason}` : undefined,
      );
  }
  identity(goal, members, alive, report);
  // A node that is to go and does not answer is one finding of its own; what the others think of it follows from that.
  const going = new Set(
    observation.nodes.flatMap((n) => (n.leaving && !n.answering ? knowsOf(observation, n).map((e) => e.id) : [])),
  );
  membership(members, alive, going, report);
  addresses(alive, report);
  // What given hosts announce is not managed.
  for (const node of goal.nodeSettings ? alive : []) {
    const unheard = node.leaving ? [] : unheardNames(node, alive);
    if (unheard.length > 0)
      report(
        "name-unheard",
        node.name,
        `${node.name} has not heard yet which host names are announced by ${unheard.join(", ")}`,
        "have not heard yet which host names are announced",
      );
  }

  const { unowned, contested } = claims(observation);
  const silent = observation.nodes.some((n) => !n.answering);
  if (unowned.length > 0)
    report(
      "slots-unowned",
      "slots",
      `${countSlots(unowned)} slots have no owner ${silent ? "among the nodes that answer" : "at all"}: ${formatRanges(unowned)}`,
    );
  if (contested.length > 0)
    report("slots-contested", "slots", `${countSlots(contested)} slots are claimed twice: ${formatRanges(contested)}`);
  for (const node of alive) {
    for (const { slots, direction, peerId } of openBy(node)) {
      const [after, are] = countSlots(slots) === 1 ? ["", "is"] : [",", "are"];
      report(
        "open-slot",
        node.name,
        `${nameSlots(slots)}${after} of ${node.name} ${are} ${direction} (other end ${peerId.slice(0, 8)}…)`,
      );
    }
    if (node.state !== "ok" && !openSlotsOf(node).some((o) => o.direction === "importing"))
      report(
        "state-fail",
        node.name,
        `${node.name} says cluster_state:${node.state}`,
        `say cluster_state:${node.state}`,
      );
    const wrong = differingSettings(goal, node);
    for (const [name, { is, want }] of Object.entries(wrong)) {
      const values = `${quoted(name, is)}, declared ${quoted(name, want)}`;
      report("setting-differs", node.name, `${name} of ${node.name} is ${values}`, `have ${name} ${values}`);
    }
  }
  for (const node of goal.logins ? alive : []) {
    for (const { user, what } of goal.logins ? userDifferences(goal.logins, node) : [])
      report("user-differs", node.name, `user ${user} of ${node.name}: ${what}`, `have user ${user}: ${what}`);
  }
  for (const node of goal.certificates ? alive : []) {
    for (const what of goal.certificates ? certificateDifferences(goal.certificates, node) : [])
      report("certificate-differs", node.name, `${node.name} ${what}`);
  }
  // A node that imports a slot takes no news of its owner, such as a failover of the other end: closing it mends that.
  const open = new Set(alive.flatMap((n) => openSlotsOf(n).map((o) => o.slot)));
  const pictures = new Set(alive.map((n) => viewSignature(n, open, going)));
  if (pictures.size > 1)
    report(
      "views-differ",
      "views",
      `${alive.length} nodes hold ${pictures.size} different pictures of members and slot owners`,
    );

  roles(goal, observation, report);
  scale(goal, observation, report);
  return findings;
}

type Report = (kind: FindingKind, subject: string, message: string, shared?: string) => void;

/** Who is this: cluster mode, server version, unique IDs, and nobody that is not ours. */
function identity(
  goal: FormationGoal,
  members: readonly Member[],
  alive: readonly AnsweringNode[],
  report: Report,
): void {
  const names = new Map<string, string>();
  for (const node of alive) {
    if (!node.server.clusterEnabled)
      report("not-cluster-mode", node.name, `${node.name} runs without cluster-enabled yes`);
    const twin = names.get(node.id);
    if (twin !== undefined)
      report(
        "duplicate-id",
        node.name,
        `${node.name} and ${twin} have the same node ID ${node.id}; were nodes.conf files copied?`,
      );
    names.set(node.id, node.name);
  }
  const versions = [...new Set(alive.map((n) => `${n.server.name} ${n.server.version}`))].sort();
  if (versions.length > 1) report("version-mix", goal.cluster, `nodes run different versions: ${versions.join(", ")}`);

  const stale = staleMembers(members, alive);
  for (const member of stale) {
    const knowing = alive.filter((n) => n.view.some((e) => e.id === member.id));
    if (knowing.length > 0)
      report("stale-id", member.name, `${knowing.length} nodes still list ${member.id}, a former ID of ${member.name}`);
  }
  for (const [id, seen] of foreignNodes(members, alive)) {
    report(
      "foreign-node",
      id,
      `${seen.by.join(", ")} ${seen.by.length === 1 ? "knows" : "know"} node ${id} at ${seen.address}, which is not of this cluster`,
    );
  }
}

/** IDs that are known as ours but that no answering node of that name has any more. */
export function staleMembers(members: readonly Member[], alive: readonly AnsweringNode[]): Member[] {
  const current = new Map(alive.map((n) => [n.name, n.id]));
  const answer = new Set(alive.map((n) => n.id));
  return members.filter(
    (m) => !answer.has(m.id) && (m.state === "stale" || (current.has(m.name) && current.get(m.name) !== m.id)),
  );
}

/**
 * Does a former ID serve on, somewhere else than where its node is now? Then it was not lost with its nodes.conf: the
 * name has got another machine while the former one still runs.
 */
export function servesElsewhere(member: Member, alive: readonly AnsweringNode[]): boolean {
  const { address, port } = alive.find((n) => n.name === member.name)?.endpoint ?? member.endpoint;
  return alive.some((n) =>
    n.view.some(
      (e) =>
        e.id === member.id && e.linked && !e.noaddr && e.health === "ok" && (e.address !== address || e.port !== port),
    ),
  );
}

/** IDs in any view that belong neither to an answering node nor to a member. Handshakes carry made-up IDs and do not count. */
export function foreignNodes(
  members: readonly Member[],
  alive: readonly AnsweringNode[],
): Map<string, { by: string[]; address: string }> {
  const ours = new Set([...alive.map((n) => n.id), ...members.map((m) => m.id)]);
  const foreign = new Map<string, { by: string[]; address: string }>();
  for (const node of alive) {
    for (const entry of node.view) {
      if (entry.handshake || ours.has(entry.id)) continue;
      const seen = foreign.get(entry.id) ?? {
        by: [],
        address: entry.noaddr ? "an unknown address" : `${entry.address}:${entry.port}`,
      };
      foreign.set(entry.id, { ...seen, by: [...seen.by, node.name] });
    }
  }
  return foreign;
}

/** Does everybody know everybody, without a doubt about anyone? */
function membership(
  members: readonly Member[],
  alive: readonly AnsweringNode[],
  going: ReadonlySet<string>,
  report: Report,
): void {
  const names = new Map([...members, ...alive].map(({ id, name }) => [id, name]));
  for (const node of alive) {
    const known = new Map(node.view.filter((e) => !e.handshake).map((e) => [e.id, e]));
    const missing = alive.filter((other) => !known.has(other.id)).map((other) => other.name);
    if (missing.length > 0) report("not-joined", node.name, `${node.name} does not know ${missing.join(", ")}`);
    // By address: each node lists the others in an order of its own.
    const doubtful = node.view
      .filter((e) => e.handshake || e.noaddr || e.health !== "ok")
      .filter((e) => !going.has(e.id));
    const entries = doubtful.sort(
      (a, b) => a.address.localeCompare(b.address, "en", { numeric: true }) || a.port - b.port,
    );
    for (const entry of entries) {
      const doubt = entry.handshake
        ? "handshake"
        : entry.noaddr
          ? "noaddr"
          : entry.health !== "ok"
            ? entry.health
            : undefined;
      if (doubt === undefined) continue;
      const name = names.get(entry.id) ?? `${entry.id.slice(0, 8)}… at ${entry.address}:${entry.port}`;
      report("flagged-node", node.name, `${node.name} marks ${name} as ${doubt}`, `mark ${name} as ${doubt}`);
    }
  }
}

/** Do the others, and so all clients that they redirect, look for each node where it is? A host name is not compared. */
function addresses(alive: readonly AnsweringNode[], report: Report): void {
  const wrong = new Map<string, NodeEntry>();
  const byId = new Map(alive.map((n) => [n.id, n.endpoint]));
  for (const node of alive) {
    for (const entry of node.view) {
      const is = byId.get(entry.id);
      if (!is || entry.handshake || entry.noaddr || entry.address === "") continue;
      if (entry.address !== is.address || entry.port !== is.port) wrong.set(entry.id, wrong.get(entry.id) ?? entry);
    }
  }
  for (const { name, id, endpoint } of alive) {
    const seen = wrong.get(id);
    if (!seen || isIP(endpoint.address) === 0) continue;
    report(
      "other-address",
      name,
      `${name} is at ${endpoint.address}:${endpoint.port}, and the cluster looks for it at ${seen.address}:${seen.port}, which is what it announces or had before (cluster-announce-ip, cluster-announce-port)`,
    );
  }
}

/** Does everybody own their share, and has everybody left who is to leave? */
function scale(goal: FormationGoal, observation: ClusterObservation, report: Report): void {
  const moves = planMoves(goal, observation);
  if (moves.length > 0) {
    const slots = moves.reduce((sum, m) => sum + countSlots(m.slots), 0);
    report(
      "uneven",
      "slots",
      goal.given?.slotShares
        ? `${slots} slots are not in the shards that are to own them (as many each as when they were found; \`rebalance: true\` spreads them evenly)`
        : `${slots} slots are not where an even spread over ${goal.plan.shards.length} shards has them`,
    );
  }
  for (const node of observation.nodes) {
    if (node.leaving && node.answering) {
      const { role, slots } = self(node);
      const keeps =
        role === "master" && slots.length === 0 && node.keys > 0
          ? `: it owns no slot and holds ${node.keys} keys, which no client is sent to; nothing is flushed from here, so look at them there, and once nobody misses them (FLUSHALL), it leaves`
          : "";
      report("leaving-node", node.name, `${node.name} is no longer declared and still a member${keeps}`);
    }
    if (node.leaving && !node.answering && knowsOf(observation, node).length > 0)
      report(
        "leaving-node",
        node.name,
        `${node.name} is no longer declared, does not answer, and is still listed as a member`,
      );
  }
}

/** Entries of a node that is silent, in the views of those that answer, by its address. */
export function knowsOf(observation: ClusterObservation, silent: SilentNode): NodeEntry[] {
  const { address, port } = silent.endpoint;
  return answering(observation).flatMap((n) =>
    n.view.filter((e) => !e.myself && e.address === address && e.port === port),
  );
}

function roles(goal: FormationGoal, observation: ClusterObservation, report: Report): void {
  const layout = layoutOf(goal, observation);
  const zones = zonesOf(goal, observation);
  const shardOf = new Map(goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, s.name] as const)));
  for (const { planned, leader, replicas, strays } of layout) {
    if (!leader) report("no-leader", planned.name, `${planned.name} has no master with slots`);
    else if (!leader.leaving && !planned.nodes.some((n) => n.name === leader.name))
      report(
        "led-from-elsewhere",
        planned.name,
        `${planned.name} is led by ${leader.name}, which is planned in ${shardOf.get(leader.name)}`,
      );
    for (const stray of strays) {
      if (stray.leaving) continue;
      const own = self(stray);
      const of = answering(observation).find((n) => n.id === own.masterId);
      const what =
        own.role === "master"
          ? `is a master of its own${stray.keys > 0 ? ` with ${stray.keys} keys` : ""}`
          : of
            ? `follows ${of.name} of ${shardOf.get(of.name)}`
            : "follows an unknown master";
      // Its slots go to the leader while the cluster serves, and then it follows.
      const kind = own.role === "master" && own.slots.length > 0 ? "second-owner" : "stray-node";
      if (leader) report(kind, stray.name, `${stray.name} ${what}, planned as a replica in ${planned.name}`);
    }
    for (const replica of replicas) {
      if (!replica.replication.linkUp) {
        report(
          "replica-link",
          replica.name,
          `${replica.name} ${replica.replication.syncing ? "is taking a full copy from" : "has no link to"} ${leader?.name}`,
        );
      } else if (leader && !holdsCopyOf(leader, replica)) {
        report(
          "replica-link",
          replica.name,
          `${replica.name} is in sync with ${leader.name} by its offset, and holds ${replica.keys} of ${leader.keys} keys: CLUSTER RESET on it makes it copy them anew`,
        );
      }
    }
    // A node that leaves is no copy to count on, and must not keep the rest from settling until it may leave.
    const staying = [...(leader ? [leader] : []), ...replicas].filter((n) => !n.leaving);
    const held = new Set(staying.map((n) => zones.get(n.name)));
    if (goal.plan.promises.shardsSpanZones && staying.length > 1 && held.size < 2) {
      report("shard-in-one-zone", planned.name, `${planned.name} is in zone ${[...held].join()} alone`);
    }
  }
  if (goal.plan.promises.mastersKeepMajority) {
    for (const { zone, leaders } of crowdedZones(goal, layout)) {
      const led = layout.filter((s) => s.leader && zones.get(s.leader.name) === zone).map((s) => s.planned.name);
      report(
        "crowded-zone",
        zone,
        `zone ${zone} holds ${leaders} of ${layout.length} masters (${led.join(", ")}); until that is mended, its loss would leave no majority, and nothing would fail over`,
      );
    }
  }
}

const quoted = (name: string, value: string) => JSON.stringify(describeSetting(name, value));

/** Live settings that a node does not report as declared. */
export function differingSettings(
  goal: FormationGoal,
  node: AnsweringNode,
): Record<string, { is: string; want: string }> {
  const wrong: Record<string, { is: string; want: string }> = {};
  const settings = settingsOf(goal, node.name);
  for (const name of Object.keys(settings).sort()) {
    const reported = node.settings[name];
    // Versions print the same value differently: `slave` for `replica`, sizes with or without a unit.
    const is = reported === undefined ? undefined : normalizeSetting(name, reported);
    const want = settings[name];
    if (want !== undefined && is !== undefined && is !== want) wrong[name] = { is, want };
  }
  return wrong;
}
