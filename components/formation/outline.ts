import { describeTopology } from "../topology/describe";
import { assess } from "./assess";
import { forecast } from "./forecast";
import type { FormationGoal, History } from "./goal";
import type { ClusterObservation } from "./observation";
import { type Step, describeStep } from "./steps";

/** What a reader of the preview sees of a cluster that is to be formed. Stable order; endpoints may be unknown yet. */
export function outlineNew(goal: FormationGoal): string[] {
  const { shards } = goal.plan;
  const nodes = shards.flatMap((s) => s.nodes).length;
  const replicas = nodes - shards.length;
  return [
    ...topology(goal),
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
}

/** What a reader sees of a change: what differs, then the steps, grouped by shard. Empty where nothing is to be done. */
export function outlineChange(before: FormationGoal, goal: FormationGoal, history: History, evidence: Evidence): string[] {
  const declared = declaredChanges(before, goal);
  const { observation, unfinished } = evidence;
  const again = unfinished === "" ? [] : [indent(`the last run stopped: ${unfinished.split("\n")[0]}`)];
  const silent = observation?.nodes.filter((n) => !n.answering) ?? [];
  if (!observation || silent.length === observation.nodes.length) {
    const seen = evidence.recorded.length > 0 ? evidence.recorded : declared;
    if (seen.length === 0 && again.length === 0) return [];
    const known = `no node could be asked; planned from the state of ${evidence.recordedAt}`;
    return [`${goal.cluster}: ${count(declared.length, "declared change")} (${known})`, ...again, ...declared.map(indent), ...evidence.recorded.map(indent)];
  }
  const findings = assess(before, history.members, observation).map((f) => f.message);
  if (findings.length === 0 && declared.length === 0 && again.length === 0) return [];
  const summary = [
    ...(findings.length > 0 ? [`${count(findings.length, "difference")} found`] : []),
    ...(declared.length > 0 ? [count(declared.length, "declared change")] : []),
  ];
  const lines = [
    `${goal.cluster}: ${summary.length > 0 ? summary.join(", ") : "to be finished"} (observed now: ${observation.nodes.length - silent.length} of ${observation.nodes.length} nodes answered)`,
    ...again,
    ...shorten(findings).map((f) => indent(`found: ${f}`)),
    ...declared.map((d) => indent(`declared: ${d}`)),
  ];
  if (silent.length > 0) {
    return [...lines, indent(`steps: first the ${count(silent.length, "silent node")} must answer again; then the cluster settles by itself, is looked at again, mended where needed, and verified`)];
  }
  const { steps, end } = forecast(goal, history, observation);
  if (end.kind === "refuse") return [...lines, ...end.refusals.flatMap((r) => [indent(`refused: ${r.message}`), indent(`  → ${r.remedy}`)])];
  return [...lines, ...groupSteps(goal, steps), indent("then: verify full coverage from every node, a write and a read in every shard")];
}

const indent = (line: string) => `  ${line}`;
const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;
const FINDINGS_SHOWN = 20;

function shorten(lines: readonly string[]): string[] {
  return lines.length <= FINDINGS_SHOWN ? [...lines] : [...lines.slice(0, FINDINGS_SHOWN), `and ${lines.length - FINDINGS_SHOWN} more`];
}

/** Steps under their shard's name; the same settings on all nodes are one line. */
function groupSteps(goal: FormationGoal, steps: readonly Step[]): string[] {
  const lines: string[] = [];
  const everywhere = new Map<string, string[]>();
  for (const step of steps) if (step.do === "setConfig") everywhere.set(describeStep(step), [...(everywhere.get(describeStep(step)) ?? []), step.node]);
  for (const shard of goal.plan.shards) {
    const own = steps.filter((s) => s.do !== "setConfig" && shard.nodes.some((n) => n.name === s.node));
    if (own.length === 0) continue;
    lines.push(indent(`${shard.name}:`), ...own.map((s) => indent(`  ${s.node}: ${describeStep(s)}`)));
  }
  const total = goal.plan.shards.flatMap((s) => s.nodes).length;
  for (const [text, nodes] of [...everywhere].sort()) lines.push(indent(`${nodes.length === total ? `all ${total} nodes` : nodes.join(", ")}: ${text}, without a restart`));
  return lines;
}

/** What the declaration itself changes, as far as formation carries it out. */
export function declaredChanges(before: FormationGoal, goal: FormationGoal): string[] {
  const changes: string[] = [];
  const names = [...new Set([...Object.keys(before.settings), ...Object.keys(goal.settings)])].sort();
  for (const name of names) {
    if (before.settings[name] === goal.settings[name]) continue;
    const [was, is] = [before.settings[name], goal.settings[name]];
    changes.push(is === undefined ? `${name}: no longer declared, stays as it is` : `${name}: ${was === undefined ? "not declared" : JSON.stringify(was)} → ${JSON.stringify(is)}, set live on every node`);
  }
  const nodesOf = (g: FormationGoal) => g.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
  for (const name of nodesOf(goal).filter((n) => !nodesOf(before).includes(n))) changes.push(`new node ${name}`);
  for (const name of nodesOf(before).filter((n) => !nodesOf(goal).includes(n))) changes.push(`node ${name} goes`);
  if (`${before.engine.name} ${before.engine.version}` !== `${goal.engine.name} ${goal.engine.version}`) {
    changes.push(`engine: ${before.engine.name} ${before.engine.version} → ${goal.engine.name} ${goal.engine.version}`);
  }
  for (const [name, endpoint] of Object.entries(goal.endpoints)) {
    const was = before.endpoints[name];
    if (was && (was.address !== endpoint.address || was.port !== endpoint.port)) changes.push(`${name} moves from ${was.address}:${was.port} to ${endpoint.address}:${endpoint.port}`);
  }
  return changes;
}
