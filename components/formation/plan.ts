import { assess, differingSettings, type FindingKind, knowsOf, servesElsewhere, staleMembers } from "./assess";
import { planCertificates } from "./certificates";
import type { FormationGoal, History, Member } from "./goal";
import { claims, crowdedZones, layoutOf, type ShardLayout, superseded, zonesOf } from "./layout";
import { FULL_MESH_LIMIT, planMeetings, planMeetingsWithinShards, planMesh } from "./meetings";
import { announceNames, stopUsingNames, waitingForNames } from "./names";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  holdsCopyOf,
  isBlank,
  openSlotsOf,
  self,
  withoutRetired,
} from "./observation";
import { finishOpenSlots, nextRound, planMoves, SLOTS_A_ROUND } from "./rebalance";
import { nameSuccessors, reclaimSlots } from "./reclaim";
import { claimAll, mayMeet, outbid, outbidFollowers, takeOver } from "./recover";
import { type Refusal, refusals } from "./refusals";
import { expandSlots, toRanges } from "./slots";
import { type Standing, standingOf } from "./standing";
import type { Step } from "./steps";
import { planUsers } from "./users";

/** What to do next. One bounded batch; the next answer comes from a new observation. */
export type Plan =
  | { readonly kind: "act"; readonly phase: Phase; readonly steps: readonly Step[] }
  /** Nothing to do but let the cluster settle. */
  | {
      readonly kind: "wait";
      readonly reasons: readonly string[];
      /** The cluster is whole, and yet nothing is to be done. */
      readonly whole?: true;
    }
  | { readonly kind: "refuse"; readonly refusals: readonly Refusal[] }
  | { readonly kind: "done" };

export type Phase =
  | "certificates"
  | "users"
  | "names"
  | "recover"
  | "assign"
  | "join"
  | "replicate"
  | "retire"
  | "settings"
  | "move"
  | "balance";

/**
 * While a cluster forms, its nodes exchange views several times a second instead of every few seconds. Only used
 * while no node owns a slot or a key, never written to a file, and put back before formation ends.
 */
export const FORMING_NODE_TIMEOUT_MILLISECONDS = 500;

/** Up to so many nodes that keeps no machine too busy. */
const OFTEN_UP_TO = 30;
/** The same under TLS, where each connection begins with a handshake. */
const OFTEN_UP_TO_WITH_TLS = 15;

/**
 * Pings grow with the square of the nodes and with the inverse of the timeout: at 60 nodes on one machine 500 ms kept it
 * so busy that nodes took each other for failed, although none was; under TLS at 30.
 */
export function formingNodeTimeout(nodes: number, tls: boolean): number {
  const often = tls ? OFTEN_UP_TO_WITH_TLS : OFTEN_UP_TO;
  return Math.max(FORMING_NODE_TIMEOUT_MILLISECONDS, Math.round((nodes / often) * FORMING_NODE_TIMEOUT_MILLISECONDS));
}

function formingTimeoutOf(alive: readonly AnsweringNode[]): number {
  const tls = alive.some(({ certificateExpires }) => certificateExpires !== undefined);
  return formingNodeTimeout(alive.length, tls);
}

/** How much longer it is where that was too short. */
const CALMER = 3;

/**
 * Nodes that answer here and are doubted by others have not failed: pings come more often than this machine has time for. A link on
 * which one is late is made anew, under TLS with another handshake, so that it would go on by itself for minutes: they have to be
 * fewer, before doubts become votes. Once, and for what is left of the forming.
 */
function calmDown(goal: FormationGoal, alive: readonly AnsweringNode[]): Step[] {
  const often = formingTimeoutOf(alive);
  const calmer = Math.min(goal.nodeTimeoutMilliseconds, CALMER * often);
  const hasty = alive.filter((n) => Number(n.settings["cluster-node-timeout"]) <= often);
  const answers = new Set(alive.map((n) => n.id));
  const doubted = alive.some((n) => n.view.some((e) => e.health !== "ok" && answers.has(e.id)));
  if (!doubted || calmer <= often) return [];
  return hasty.map(({ name }) => ({
    do: "setTemporary",
    node: name,
    settings: { "cluster-node-timeout": String(calmer) },
  }));
}

export interface PlanOptions {
  /** Meet every missing pair instead of trusting gossip: for a formation that does not move. */
  readonly insist?: boolean;
  /** How many slots of one pair a round takes on. Default: what a round can do in its time. */
  readonly slotsARound?: number;
}

/** Differences that steps mend while the cluster serves; everything else has to settle first. */
const MENDED_LATER: readonly FindingKind[] = [
  "setting-differs",
  "crowded-zone",
  // All nodes of such a shard together span zones, and one that is silent or astray is a finding of its own: else one leads
  // elsewhere, and comes home only after this.
  "shard-in-one-zone",
  "open-slot",
  "uneven",
  "leaving-node",
  "led-from-elsewhere",
  "second-owner",
  "name-unheard",
];

/**
 * Decides the next batch of steps. Pure: the same goal, members and observation give the same plan, in the same order.
 * The order of the questions is the order of safety: refuse, join, assign, replicate, forget, settings, guests, slots, zones, retire.
 */
export function plan(
  goal: FormationGoal,
  history: History,
  observed: ClusterObservation,
  options: PlanOptions = {},
): Plan {
  const { members } = history;
  const stale = staleMembers(members, answering(observed));
  const observation = withoutRetired(observed);
  const standing = standingOf(goal, history, observation);
  const refused = refusals(goal, members, observation, standing);
  if (refused.length > 0) return { kind: "refuse", refusals: refused };

  const alive = answering(observation);
  const layout = layoutOf(goal, observation);
  const assigning = assignSlots(goal, layout, alive, standing);
  const isNew = !options.insist && !history.verified && standing.keyless;
  const mesh = isNew && alive.length <= FULL_MESH_LIMIT && pingOften(alive, assigning);
  // A new cluster that is large, or pings seldom, joins shard by shard first: when its nodes then meet, each is introduced
  // in its final role, and nothing is left to spread by pings afterwards.
  const shardsFirst =
    isNew && !standing.formed && !mesh && layout.some((s) => s.strays.some((n) => self(n).role === "master"));
  const former = standing.formed ? superseded(observation) : [];
  const joining = mayMeet(alive, former);
  const firstMeetings = mesh ? planMesh(goal, joining) : shardsFirst ? planMeetingsWithinShards(goal, alive) : [];
  // A node that this stack made has in its file what is declared; one that was given has not.
  const persist = history.verified || goal.given !== undefined;
  const batches: [Phase, Step[]][] = [
    // Before certificates that may not carry the names any more.
    ["names", stopUsingNames(goal, alive, persist)],
    // First of all: nodes whose certificates are over do not find each other.
    ["certificates", goal.certificates ? planCertificates(goal.certificates, alive) : []],
    // Before all else: replicas link up, and slots move, only where each node takes what the others log in with.
    ["users", goal.logins ? planUsers(goal.logins, alive) : []],
    // Before new nodes meet, and slots move to them.
    ["names", announceNames(goal, alive, persist)],
    ["recover", takeOver(members, observation)],
    ["recover", standing.formed ? reclaimSlots(observation, standing.nobodyGone) : []],
    ["recover", standing.formed ? nameSuccessors(observation) : []],
    ["recover", standing.formed ? claimAll(goal, layout, members, alive) : []],
    ["recover", outbid(alive, former)],
    ["recover", options.insist ? outbidFollowers(alive) : []],
    ["join", isNew ? calmDown(goal, alive) : []],
    // In one batch with the slots: a meeting takes the servers longer than the rest of the batch does.
    ["assign", assigning.length > 0 ? [...assigning, ...firstMeetings] : []],
    ["join", firstMeetings],
    ["replicate", planReplicas(layout, alive)],
    ["join", mesh || shardsFirst ? [] : planMeetings(goal, joining, options.insist ?? false)],
    ["retire", resetOrphans(observation)],
    ["retire", forgetStale(stale, alive, !standing.formed && standing.keyless)],
  ];
  for (const [phase, steps] of batches) if (steps.length > 0) return { kind: "act", phase, steps };

  const findings = assess(goal, members, observation);
  if (findings.length === 0) return { kind: "done" };
  // Settings, slots and leadership wait until the cluster is whole: none may disturb one that is still settling.
  const unsettled = findings.filter((f) => !MENDED_LATER.includes(f.kind));
  if (unsettled.length > 0) return { kind: "wait", reasons: unsettled.map((f) => f.message) };
  const limit = options.slotsARound ?? SLOTS_A_ROUND;
  const shardOf = (name: string) => layout.find((s) => s.leader?.name === name)?.planned.name ?? "";
  const open = alive.some((n) => openSlotsOf(n).length > 0);
  const held = goal.nodeSettings ? waitingForNames(alive) : [];
  const settings = alive.flatMap((node) => (node.leaving ? [] : settingSteps(goal, node, persist, held)));
  if (settings.length > 0) return { kind: "act", phase: "settings", steps: settings };
  // New masters and replicas are shown to clients by names, too.
  const unheard = findings.filter((f) => f.kind === "name-unheard");
  if (unheard.length > 0) return { kind: "wait", reasons: unheard.map((f) => f.message), whole: true };
  const later: [Phase, Step[]][] = [
    ["move", open ? finishOpenSlots(observation, members, shardOf) : []],
    // Before moves, which may take hours: meanwhile the guest's own shard would lack a copy, and maybe a zone.
    ["balance", handOver(layout, ledByGuest)],
    ["move", open ? [] : nextRound(planMoves(goal, observation), limit)],
    ["balance", handOver(layout, ({ leader }) => leader?.leaving !== undefined)],
    ["balance", spreadLeaders(goal, layout, observation)],
    ["retire", retire(layout, observation)],
  ];
  for (const [phase, steps] of later) if (steps.length > 0) return { kind: "act", phase, steps };
  return { kind: "wait", reasons: findings.map((f) => f.message), whole: true };
}

const WHOLE: readonly Phase[] = ["settings", "move", "balance", "retire"];

/** All nodes agree on members, roles and the owners of slots; what differs still is mended while the cluster serves. */
export function isWhole(next: Plan): boolean {
  if (next.kind === "act") return WHOLE.includes(next.phase);
  return next.kind === "done" || (next.kind === "wait" && next.whole === true);
}

/**
 * Blank nodes get their slots before they meet: each then counts as a majority of one and never sees a minority, which
 * saves the wait that Redis imposes on masters coming out of one (half a second to five, by node timeout). It is safe
 * because every node was just seen to be blank or to own exactly its planned slots, and all these are disjoint.
 */
function assignSlots(
  goal: FormationGoal,
  layout: readonly ShardLayout[],
  alive: readonly AnsweringNode[],
  standing: Standing,
): Step[] {
  if (standing.formed || !standing.keyless) return [];
  const steps: Step[] = [];
  const timeout = formingTimeoutOf(alive);
  // What is not declared could not be put back after a kill.
  const restorable = goal.given === undefined || goal.settings["cluster-node-timeout"] !== undefined;
  if (restorable && alive.every(isBlank) && goal.nodeTimeoutMilliseconds > timeout) {
    for (const node of alive) {
      if (node.settings["cluster-node-timeout"] === String(timeout)) continue;
      steps.push({ do: "setTemporary", node: node.name, settings: { "cluster-node-timeout": String(timeout) } });
    }
  }
  const free = new Set(expandSlots(standing.free));
  const leads = new Set(layout.map(({ planned, leader }) => leader?.name ?? planned.nodes[0]?.name));
  // Distinct epochs from the start: masters with equal ones would renumber themselves for a while. Those that are to follow have earlier ones
  // than their masters: whoever takes an older packet of them for the latest still believes what they say as replicas.
  const followers = alive.filter((n) => !leads.has(n.name));
  followers.forEach((node, index) => {
    if (isBlank(node) && node.currentEpoch === 0)
      steps.push({ do: "setConfigEpoch", node: node.name, epoch: index + 1 });
  });
  layout.forEach(({ planned, leader }, index) => {
    const node = leader ?? alive.find((n) => n.name === planned.nodes[0]?.name);
    if (!node || self(node).role !== "master") return;
    if (isBlank(node) && node.currentEpoch === 0)
      steps.push({ do: "setConfigEpoch", node: node.name, epoch: followers.length + index + 1 });
    const missing = toRanges(expandSlots(planned.slots).filter((slot) => free.has(slot)));
    if (missing.length > 0) steps.push({ do: "addSlotsRange", node: node.name, shard: planned.name, slots: missing });
  });
  return steps;
}

/** What a node learns no other way is pinged to it within a moment, on every node, once these steps are done. */
function pingOften(alive: readonly AnsweringNode[], assigning: readonly Step[]): boolean {
  const often = formingTimeoutOf(alive);
  const lowered = new Set(assigning.flatMap((s) => (s.do === "setTemporary" ? [s.node] : [])));
  return alive.every((n) => lowered.has(n.name) || Number(n.settings["cluster-node-timeout"]) <= often);
}

/**
 * Nodes that should follow their shard's leader and do not yet; each as soon as it knows the leader. Not a replica whose
 * own master is gone and still owns slots in somebody's view: it may be their last copy, and is about to be elected.
 */
function planReplicas(layout: readonly ShardLayout[], alive: readonly AnsweringNode[]): Step[] {
  const answers = new Set(alive.map((n) => n.id));
  const owners = new Set(alive.flatMap((n) => n.view.filter((e) => e.slots.length > 0).map((e) => e.id)));
  return layout.flatMap(({ planned, leader, strays }) => {
    if (!leader) return [];
    return strays
      .filter((stray) => {
        if (stray.leaving) return false;
        const own = self(stray);
        const known = stray.view.find((e) => e.id === leader.id);
        const needed = own.masterId !== undefined && !answers.has(own.masterId) && owners.has(own.masterId);
        const empty = own.role === "replica" ? !needed : own.slots.length === 0 && stray.keys === 0;
        return empty && known !== undefined && !known.handshake && known.role === "master";
      })
      .map(
        (stray): Step => ({
          do: "replicate",
          node: stray.name,
          shard: planned.name,
          master: leader.name,
          masterId: leader.id,
        }),
      );
  });
}

/**
 * Replicas that are to leave, and whose master is gone under the ID that they follow, and owned nothing: nobody is elected in its place, and
 * whoever follows an ID cannot forget it. All else has an owner, so what they hold is a copy of nothing.
 */
function resetOrphans(observation: ClusterObservation): Step[] {
  const alive = answering(observation);
  if (alive.length < observation.nodes.length || claims(observation).unowned.length > 0) return [];
  const present = new Set(alive.map((n) => n.id));
  const owners = new Set(alive.flatMap((n) => n.view.filter((e) => e.slots.length > 0).map((e) => e.id)));
  return alive.flatMap((node): Step[] => {
    const { role, masterId = "" } = self(node);
    const isOrphan = role === "replica" && !present.has(masterId) && !owners.has(masterId);
    return node.leaving && isOrphan ? [{ do: "reset", node: node.name, id: node.id }] : [];
  });
}

/**
 * Former IDs of nodes that lost their nodes.conf, on every node within the minute that the blacklist lasts. Not while
 * one still owns slots in anybody's view: its replica needs it to be known as failed in order to be elected. While
 * nothing was ever written there is nothing to take over, and its slots are assigned anew.
 */
function forgetStale(stale: readonly Member[], alive: readonly AnsweringNode[], unused: boolean): Step[] {
  return stale.flatMap((member) => {
    const entries = alive.flatMap((n) => n.view.filter((e) => e.id === member.id));
    if (entries.length === 0 || (!unused && entries.some((e) => e.slots.length > 0))) return [];
    if (alive.some((n) => self(n).masterId === member.id) || servesElsewhere(member, alive)) return [];
    return alive.map((n): Step => ({ do: "forget", node: n.name, id: member.id, formerName: member.name }));
  });
}

function settingSteps(goal: FormationGoal, node: AnsweringNode, persist: boolean, held: readonly string[]): Step[] {
  const wrong = Object.entries(differingSettings(goal, node))
    .filter(([name]) => !held.includes(name))
    .map(([name, { want }]) => [name, want] as const);
  return wrong.length === 0 ? [] : [{ do: "setConfig", node: node.name, settings: Object.fromEntries(wrong), persist }];
}

/** Is the shard led by a node that is planned in another one? */
function ledByGuest({ planned, leader }: ShardLayout): boolean {
  return leader !== undefined && !leader.leaving && !planned.nodes.some((n) => n.name === leader.name);
}

/** One graceful failover in the first of these shards, to a replica that stays; preferably to the node that the plan has in the lead. */
function handOver(layout: readonly ShardLayout[], which: (shard: ShardLayout) => boolean): Step[] {
  for (const { planned, leader, replicas } of layout.filter(which)) {
    if (!leader) continue;
    const [heir] = replicas
      .filter((r) => !r.leaving && r.replication.linkUp && holdsCopyOf(leader, r))
      .sort((a, b) => rank(planned, a) - rank(planned, b));
    if (heir) return [{ do: "failover", node: heir.name, shard: planned.name, from: leader.name }];
  }
  return [];
}

/** One graceful failover out of a crowded zone; preferably to the node that the plan has in the lead. */
function spreadLeaders(goal: FormationGoal, layout: readonly ShardLayout[], observation: ClusterObservation): Step[] {
  if (!goal.plan.promises.mastersKeepMajority) return [];
  const zones = zonesOf(goal, observation);
  const crowded = crowdedZones(goal, layout)[0];
  if (!crowded) return [];
  const led = new Map<string, number>();
  for (const { leader } of layout)
    if (leader) led.set(zones.get(leader.name) ?? "", (led.get(zones.get(leader.name) ?? "") ?? 0) + 1);
  const candidates = layout
    .filter(({ leader }) => leader && zones.get(leader.name) === crowded.zone)
    .flatMap(({ planned, leader, replicas }) =>
      replicas
        .filter((r) => !r.leaving && r.replication.linkUp && zones.get(r.name) !== crowded.zone)
        .filter((r) => leader !== undefined && holdsCopyOf(leader, r))
        .map((r) => ({
          planned,
          leader,
          replica: r,
          home: planned.nodes[0]?.name === r.name,
          load: led.get(zones.get(r.name) ?? "") ?? 0,
        })),
    )
    .sort((a, b) => Number(b.home) - Number(a.home) || a.load - b.load || (a.replica.name < b.replica.name ? -1 : 1));
  const best = candidates[0];
  return best?.leader
    ? [{ do: "failover", node: best.replica.name, shard: best.planned.name, from: best.leader.name }]
    : [];
}

function rank(planned: ShardLayout["planned"], node: AnsweringNode): number {
  return planned.nodes.findIndex((n) => n.name === node.name);
}

/**
 * Members that the declaration no longer has and that own nothing any more: reset, so that they stop talking to the others,
 * whereupon their former IDs are forgotten everywhere. The cluster was just seen to be whole, in sync without them.
 */
function retire(layout: readonly ShardLayout[], observation: ClusterObservation): Step[] {
  const leaders = new Set(layout.map((s) => s.leader?.name));
  const alive = answering(observation);
  return observation.nodes.flatMap((node): Step[] => {
    if (!node.leaving) return [];
    if (node.answering) {
      const own = self(node);
      const empty = own.slots.length === 0 && own.openSlots.length === 0 && (own.role === "replica" || node.keys === 0);
      return empty && !leaders.has(node.name) ? [{ do: "reset", node: node.name, id: node.id }] : [];
    }
    const ids = new Set(knowsOf(observation, node).map((e) => e.id));
    return [...ids].flatMap((id) =>
      alive
        .filter((n) => n.view.some((e) => e.id === id))
        .map((n): Step => ({ do: "forget", node: n.name, id, formerName: node.name })),
    );
  });
}
