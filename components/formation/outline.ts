import { describeSetting } from "../config";
import type { MigrationLimits } from "../spec/spec";
import { describeSurvival, describeTopology } from "../topology/describe";
import { assess, type Finding } from "./assess";
import { groupFindings } from "./drift";
import { asDeclared, forecast } from "./forecast";
import type { FormationGoal, History } from "./goal";
import { claims, layoutOf } from "./layout";
import { answering, type ClusterObservation, isBlank } from "./observation";
import { changedCertificates, describeTls, effectOnTrust, type TlsInput } from "./outlineCertificates";
import { outlineLimits } from "./outlineMoves";
import { changedUsers, describeUsers, effectOnSessions } from "./outlineUsers";
import { defaultPatience } from "./patience";
import type { UsersInput } from "./rotation";
import { countSlots, formatRanges } from "./slots";
import { describeStep, type Step } from "./steps";

/** What a reader of the preview sees of a cluster that is to be formed. Stable order; endpoints may be unknown yet. */
export function outlineNew(goal: FormationGoal, { users, tls }: { users?: UsersInput; tls?: TlsInput } = {}): string[] {
  const { shards } = goal.plan;
  const nodes = shards.flatMap((s) => s.nodes).length;
  const replicas = nodes - shards.length;
  return [
    ...topology(goal),
    ...(tls
      ? [
          describeTls(
            tls,
            Object.values(goal.endpoints).some((e) => e.plainPort !== undefined),
          ),
        ]
      : []),
    ...(users ? [describeUsers(users)] : []),
    `steps: assign 16384 slots to ${shards.length} masters · join ${nodes} nodes${replicas > 0 ? ` · ${replicas} replicas follow their masters` : ""} · verify full coverage from every node, a write and a read in every shard`,
    "clients: a new cluster, nobody is affected",
  ];
}

function topology(goal: FormationGoal): string[] {
  const endpoints = new Map(Object.entries(goal.endpoints).map(([name, e]) => [name, `${e.address}:${e.port}`]));
  return describeTopology(goal.plan, endpoints, `${goal.cluster}: ${goal.engine.name} ${goal.engine.version}`);
}

/** What is known when a change is planned. */
export interface Evidence {
  /** The cluster as just observed; undefined where no node could be asked. */
  readonly observation: ClusterObservation | undefined;
  /** What the last run stopped at; empty where it came to its end. */
  readonly unfinished: string;
  /** Where the observation is missing: what was recorded as different at the last one, and when that was. */
  readonly recorded: readonly string[];
  readonly recordedAt: string;
  /** Declared bounds for moves of slots. */
  readonly migration?: MigrationLimits;
  /** How many shards roll at the same time. Default: 1. */
  readonly shardsAtOnce?: number;
  /** Machines restart, each in its turn, before formation's own steps. Default: false. */
  readonly rolls?: boolean;
}

/** What a reader sees of a change: what differs, then the steps, grouped by shard. Empty where nothing is to be done. */
export function outlineChange(
  before: FormationGoal,
  goal: FormationGoal,
  history: History,
  evidence: Evidence,
): string[] {
  const declared = declaredChanges(before, goal);
  const { observation, unfinished, rolls = false } = evidence;
  const again = [
    ...(unfinished === "" ? [] : [indent(`the last run stopped: ${unfinished.split("\n")[0]}`)]),
    ...joinedUnrecorded(history),
  ];
  const silent = observation?.nodes.filter((n) => !n.answering) ?? [];
  if (!observation || silent.length === observation.nodes.length) {
    const { recordedAt } = evidence;
    const recorded = observation ? whatSilenceMeans(before, history, observation) : evidence.recorded;
    if (recorded.length === 0 && declared.length === 0 && again.length === 0) return [];
    const asked = observation ? `none of ${count(observation.nodes.length, "node")} answered` : "no node was asked";
    const basis = recordedAt === "" ? "a state that was never verified" : `the state verified at ${recordedAt}`;
    return [
      `${goal.cluster}: ${summarize(recorded, declared)} (${asked}; planned from ${basis})`,
      ...again,
      ...shorten(recorded).map((f) => indent(`found: ${f}`)),
      ...declared.map((d) => indent(`change: ${d}`)),
      ...nodeCounts(before, goal, observation),
      ...rolling(before, goal, evidence.shardsAtOnce ?? 1),
      ...(observation
        ? [...stepsAfterSilence(silent.length, goal, rolls), indent("clients: OUTAGE, no slot is served now")]
        : []),
      ...afterwards(goal),
    ];
  }
  const findings = grouped(assess(before, history.members, observation), answering(observation).length);
  if (findings.length === 0 && declared.length === 0 && again.length === 0) return [];
  const lines = [
    `${goal.cluster}: ${summarize(findings, declared)} (observed now: ${observation.nodes.length - silent.length} of ${observation.nodes.length} nodes answered)`,
    ...again,
    ...shorten(findings).map((f) => indent(`found: ${f}`)),
    ...declared.map((d) => indent(`change: ${d}`)),
    ...nodeCounts(before, goal, observation),
  ];
  if (silent.length > 0) {
    return [
      ...lines,
      ...rolling(before, goal, evidence.shardsAtOnce ?? 1),
      ...stepsAfterSilence(silent.length, goal, rolls),
      ...effectOfSilence(goal, observation, rolls).map(indent),
      ...afterwards(goal),
    ];
  }
  const declaredNow = asDeclared(before, goal, observation);
  const { steps, end } = forecast(goal, history, declaredNow);
  if (end.kind === "refuse")
    return [...lines, ...end.refusals.flatMap((r) => [indent(`refused: ${r.message}`), indent(`  → ${r.remedy}`)])];
  return [
    ...lines,
    ...rolling(before, goal, evidence.shardsAtOnce ?? 1),
    ...groupSteps(goal, steps, declaredNow),
    ...outlineLimits(steps, declaredNow, evidence.migration ?? {}).map(indent),
    ...(end.kind === "wait"
      ? [
          indent(
            "then: wait until failovers and copies under way are over, look again, and rejoin nodes, spread leadership or set settings as still needed",
          ),
        ]
      : []),
    indent("then: verify full coverage from every node, a write and a read in every shard"),
    indent(
      `clients: ${effectOfSteps(before, goal, steps)}${end.kind === "wait" ? "; what is mended later may pause writes to a shard for milliseconds" : ""}`,
    ),
    ...afterwards(goal),
  ];
}

/** Nodes that a run added which could not record them, because it was killed. */
function joinedUnrecorded({ members, recorded = members }: History): string[] {
  const known = new Set(recorded.map((m) => m.id));
  const joined = members.filter((m) => !known.has(m.id)).map((m) => m.name);
  return joined.length > 0 ? [indent(`joined in a run that did not come to its end: ${joined.join(", ")}`)] : [];
}

/** That nobody owns the slots of silent nodes goes without saying. */
function whatSilenceMeans(before: FormationGoal, history: History, observation: ClusterObservation): string[] {
  return assess(before, history.members, observation).flatMap((f) =>
    f.kind === "slots-unowned" || f.kind === "no-leader" ? [] : [f.message],
  );
}

function summarize(findings: readonly string[], declared: readonly string[]): string {
  const parts = [
    ...(findings.length > 0 ? [`${count(findings.length, "difference")} found`] : []),
    ...(declared.length > 0 ? [count(declared.length, "change")] : []),
  ];
  return parts.length > 0 ? parts.join(", ") : "to be finished";
}

/** Whoever runs the machines mends them first: formation starts nothing. */
function stepsAfterSilence(silent: number, goal: FormationGoal, rolls: boolean): string[] {
  const [nodes, them] = silent === 1 ? ["the silent node", "it"] : [`the ${silent} silent nodes`, "them"];
  const starts = rolls
    ? `${nodes} first: \`up\` starts ${them} again as before, with the data kept, ahead of any restart that needs ${them} (as a replica, or for a majority) · then every node restarts in its turn; one that is not back in sync stops the roll`
    : `${nodes} first: a resource that is to be updated below starts its server again, with the data it kept · wait for the answer; without any progress for ${Math.round(defaultPatience(goal) / 1000)} s, stop and change nothing else`;
  return [
    indent(`steps: ${starts}`),
    indent(
      "then, as far as needed: rejoin, leadership back over the zones, settings, and the changes above once all nodes answer · verify full coverage from every node, a write and a read in every shard",
    ),
    indent(
      "data: what the nodes kept; one that comes back empty is joined as a replica of whoever has its shard's data, and where nobody has them, this stops and says so",
    ),
  ];
}

/** What several nodes say alike is one line. */
function grouped(findings: readonly Finding[], nodes: number): string[] {
  return groupFindings(findings, nodes).map(({ text }) => text);
}

/** What applications notice of the steps. */
function effectOfSteps(before: FormationGoal, goal: FormationGoal, steps: readonly Step[]): string {
  const shards = (kind: Step["do"]) => {
    const touched = new Set(steps.flatMap((s) => (s.do === kind && "shard" in s ? [s.shard] : [])));
    return goal.plan.shards.map((s) => s.name).filter((name) => touched.has(name));
  };
  const moved = shards("migrateSlots");
  const led = shards("failover");
  const copied = steps.filter((s) => s.do === "replicate").length;
  const effects = [
    ...effectOnTrust(before, goal),
    ...effectOnSessions(steps),
    ...(led.length > 0 ? [`writes to ${led.join(", ")} wait for milliseconds while leadership moves`] : []),
    ...(copied > 0
      ? [
          `${count(copied, "replica")} ${copied === 1 ? "takes" : "take"} a full copy: memory, processor and network of the leaders meanwhile`,
        ]
      : []),
    ...(moved.length > 0
      ? [
          "requests for slots that move are redirected (MOVED, ASK), and commands on several keys may be asked to try again (TRYAGAIN): cluster clients do both by themselves; stopped at any point, the cluster serves and the next run goes on",
        ]
      : []),
  ];
  return effects.length > 0
    ? `${effects.join(" · ")}; no node restarts`
    : "notice nothing: no restart, no leadership change, no slot moves";
}

/** What applications notice of nodes that do not answer, and what is at risk until they do. */
function effectOfSilence(goal: FormationGoal, observation: ClusterObservation, rolls: boolean): string[] {
  const { unowned } = claims(observation);
  const failing = answering(observation).filter((n) => n.state !== "ok").length;
  const now =
    unowned.length > 0
      ? `nobody serves ${countSlots(unowned)} slots now: ${formatRanges(unowned)}${failing > 0 ? `; ${count(failing, "node")} that answer${failing === 1 ? "s" : ""} refuse${failing === 1 ? "s" : ""} all other requests too (cluster_state:fail)` : ""}`
      : failing > 0
        ? `${count(failing, "node")} refuse${failing === 1 ? "s" : ""} requests now (cluster_state:fail)`
        : rolls
          ? "every slot is served now and stays so, but for the pauses of the roll, as said above"
          : "every slot is served now and stays so; where leadership moves back to another zone, writes to that shard wait for milliseconds";
  const alone = layoutOf(goal, observation).filter(
    ({ planned, leader, replicas }) =>
      planned.nodes.length > 1 && leader && !replicas.some((r) => r.replication.linkUp),
  );
  const last = alone.map(({ planned, leader }) => `${leader?.name} of ${planned.name}`);
  return [
    `clients: ${now}`,
    ...(last.length > 0
      ? [`until then: the only node left of its shard, whose loss would stop that shard: ${last.join(", ")}`]
      : []),
  ];
}

function afterwards(goal: FormationGoal): string[] {
  return describeSurvival(goal.plan).map((line) => indent(`afterwards it ${line}`));
}

const indent = (line: string) => `  ${line}`;
const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;
const FINDINGS_SHOWN = 20;

function shorten(lines: readonly string[]): string[] {
  return lines.length <= FINDINGS_SHOWN
    ? [...lines]
    : [...lines.slice(0, FINDINGS_SHOWN), `and ${lines.length - FINDINGS_SHOWN} more`];
}

/** What happens to machines when the engine changes: they roll before formation's own steps. */
function rolling(before: FormationGoal, goal: FormationGoal, shardsAtOnce: number): string[] {
  const nodes = goal.plan.shards.flatMap((s) => s.nodes).length;
  if (goal.given || `${before.engine.name} ${before.engine.version}` === `${goal.engine.name} ${goal.engine.version}`)
    return [];
  const replicas = goal.plan.shards.every((s) => s.nodes.length > 1);
  return [
    indent(
      `first: ${nodes} nodes restart as ${goal.engine.name} ${goal.engine.version}, ${rollingOrder(shardsAtOnce)}, each with its data and address, replicas before leaders`,
    ),
    indent(
      replicas
        ? "clients: each leader hands over to a replica in sync before it stops: a pause of milliseconds for its slots"
        : "clients: without replicas, each shard pauses while its node restarts",
    ),
  ];
}

/** How a preview names the order of a roll. */
export function rollingOrder(shardsAtOnce: number): string {
  return shardsAtOnce > 1 ? `up to ${shardsAtOnce} at a time, of different shards` : "one after the other";
}

/** Done alike on many nodes, so that one line for all of them says it. */
const ON_EVERY_NODE: readonly Step["do"][] = [
  "forget",
  "setUser",
  "deleteUser",
  "setReplicationLogin",
  "trustAuthorities",
  "loadCertificate",
];

/** Steps under the shard that they are for; the same line on many nodes is one line; nodes that leave come last. */
function groupSteps(goal: FormationGoal, steps: readonly Step[], observation: ClusterObservation): string[] {
  const coming = new Set(
    answering(observation)
      .filter(isBlank)
      .map((n) => n.name),
  );
  const shardOf = new Map(goal.plan.shards.flatMap((s) => s.nodes.map((n) => [n.name, s.name] as const)));
  const everywhere = new Map<string, string[]>();
  const byShard = new Map<string, string[]>();
  const leaving: string[] = [];
  const joined = new Set<string>();
  for (const step of steps) {
    // Everybody meets a node that comes: that is one event for a reader, not one for each pair.
    const comes = step.do === "meet" ? [step.node, step.peer].find((name) => coming.has(name)) : undefined;
    if (comes !== undefined && joined.has(comes)) continue;
    if (comes !== undefined) {
      joined.add(comes);
      const shard = shardOf.get(comes) ?? "";
      byShard.set(shard, [...(byShard.get(shard) ?? []), `${comes}: join the cluster`]);
      continue;
    }
    const text = describeStep(step);
    if (step.do === "setConfig")
      everywhere.set(`${text}, without a restart`, [
        ...(everywhere.get(`${text}, without a restart`) ?? []),
        step.node,
      ]);
    else if (step.do === "saveUsers") continue;
    else if (ON_EVERY_NODE.includes(step.do)) everywhere.set(text, [...(everywhere.get(text) ?? []), step.node]);
    else {
      const shard = step.do === "migrateSlots" ? step.shard : shardOf.get(step.node);
      if (shard === undefined) leaving.push(`${step.node}: ${text}`);
      else byShard.set(shard, [...(byShard.get(shard) ?? []), `${step.node}: ${text}`]);
    }
  }
  const total = shardOf.size;
  return [
    ...goal.plan.shards.flatMap(({ name }) =>
      byShard.has(name) ? [indent(`${name}:`), ...(byShard.get(name) ?? []).map((l) => indent(indent(l)))] : [],
    ),
    ...(leaving.length > 0 ? [indent("leaving:"), ...leaving.map((l) => indent(indent(l)))] : []),
    ...[...everywhere]
      .sort()
      .map(([text, nodes]) =>
        indent(`${nodes.length >= total ? `all ${nodes.length} nodes` : nodes.join(", ")}: ${text}`),
      ),
  ];
}

/** New nodes come before old ones go: how many machines that takes for a time. */
function nodeCounts(before: FormationGoal, goal: FormationGoal, observation: ClusterObservation | undefined): string[] {
  const names = (g: FormationGoal) => g.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
  const was = [...new Set([...names(before), ...(observation?.nodes.map((n) => n.name) ?? [])])];
  const is = names(goal);
  const most = new Set([...was, ...is]).size;
  if (most === was.length && most === is.length) return [];
  return [indent(`nodes: ${was.length} now, ${most} at most on the way, ${is.length} afterwards`)];
}

/** What the declaration itself changes, as far as formation carries it out. */
export function declaredChanges(before: FormationGoal, goal: FormationGoal): string[] {
  const changes: string[] = [];
  const names = [...new Set([...Object.keys(before.settings), ...Object.keys(goal.settings)])].sort();
  for (const name of names) {
    if (before.settings[name] === goal.settings[name]) continue;
    const [was, is] = [before.settings[name], goal.settings[name]].map((value) =>
      value === undefined ? undefined : JSON.stringify(describeSetting(name, value)),
    );
    changes.push(
      is === undefined
        ? `${name}: no longer declared, stays as it is`
        : `${name}: ${was ?? "not declared"} → ${is}, set live on every node`,
    );
  }
  const nodesOf = (g: FormationGoal) => g.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
  for (const name of nodesOf(goal).filter((n) => !nodesOf(before).includes(n))) changes.push(`new node ${name}`);
  for (const name of nodesOf(before).filter((n) => !nodesOf(goal).includes(n))) changes.push(`node ${name} goes`);
  if (`${before.engine.name} ${before.engine.version}` !== `${goal.engine.name} ${goal.engine.version}`) {
    changes.push(`engine: ${before.engine.name} ${before.engine.version} → ${goal.engine.name} ${goal.engine.version}`);
  }
  changes.push(
    ...declaredSpread(before, goal),
    ...changedCertificates(before.certificates, goal.certificates),
    ...changedUsers(before.logins, goal.logins),
  );
  for (const [name, endpoint] of Object.entries(goal.endpoints)) {
    const was = before.endpoints[name];
    if (was && (was.address !== endpoint.address || was.port !== endpoint.port))
      changes.push(`${name} moves from ${was.address}:${was.port} to ${endpoint.address}:${endpoint.port}`);
  }
  changes.push(...changedNames(before, goal));
  return changes;
}

/** What nodes announce and where they listen besides, said once for all of them. */
function changedNames(before: FormationGoal, goal: FormationGoal): string[] {
  const kept = Object.entries(goal.endpoints).flatMap(([name, is]) => {
    const was = before.endpoints[name];
    return was ? [{ was, is }] : [];
  });
  const named = kept.find(({ was, is }) => was.hostname !== is.hostname);
  const plain = kept.find(({ was, is }) => was.plainPort !== is.plainPort);
  return [
    ...(named
      ? [
          named.is.hostname === undefined
            ? "nodes announce their addresses instead of host names"
            : `nodes announce host names, such as ${named.is.hostname}: clients have to resolve them`,
        ]
      : []),
    ...(plain
      ? [
          plain.is.plainPort === undefined
            ? "the port without TLS closes, and sessions on it stay until they end by themselves"
            : "a port without TLS opens on every node",
        ]
      : []),
  ];
}

/** For nodes that were given: how slots and leaders are to lie, where that is declared anew. */
function declaredSpread(before: FormationGoal, goal: FormationGoal): string[] {
  if (!goal.given) return [];
  const shares = ({ plan, given }: FormationGoal) => {
    const recorded = given?.slotShares;
    return recorded
      ? plan.shards.map((s) => recorded[s.name] ?? 0).join(" + ")
      : `even over ${plan.shards.length} shards`;
  };
  const led = new Map(before.plan.shards.map((s) => [s.name, s.nodes]));
  const leaders = goal.plan.shards.flatMap(({ name, nodes: [first] }) => {
    const former = led.get(name);
    const moved = first && former && former[0]?.name !== first.name && former.some((n) => n.name === first.name);
    return moved ? [`${name} may be led by ${first.name}, for masters in more zones`] : [];
  });
  const [was, is] = [shares(before), shares(goal)];
  return [...(was === is ? [] : [`slots: ${was} → ${is}`]), ...leaders];
}
