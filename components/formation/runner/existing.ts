import { setTimeout } from "node:timers/promises";
import type { ResourceRunner } from "../../cluster/shim";
import type { NodeEndpoint } from "../../config/types";
import type { Engine, MigrationLimits } from "../../spec/spec";
import { changeHosts, type HostPlan, type HostWishes, topologyOf } from "../../topology/hosts";
import type { SurvivalSettings } from "../../topology/survival";
import type { Member } from "../goal";
import { answering, type ClusterObservation } from "../observation";
import { observeNode, parseInfo } from "../observe";
import { outlineAdoption } from "../outlineAdoption";
import { plan } from "../plan";
import { type Recognized, recognize } from "../recognize";
import type { Refusal } from "../refusals";
import { isWayThatFails } from "../silent";
import { type Access, Connections } from "../wire";
import {
  beginPlanning,
  type FormationInputs,
  type FormationOutputs,
  formationRunner,
  goalOf,
  isPlanned,
  print,
  sorted,
} from "./formation";
import { markCreated } from "./knowledge";
import { lastSeen } from "./lastSeen";
import { hasUnknown } from "./unknowns";

/** A host as the program declares it. */
export interface ExistingHost {
  readonly name: string;
  readonly zone: string;
  readonly endpoint: NodeEndpoint;
}

/** Inputs of the formation of hosts that somebody else provides. Which of them form a shard is found out, not declared. */
export interface ExistingInputs {
  readonly cluster: string;
  readonly declaration: FormationInputs["declaration"];
  readonly hosts: readonly ExistingHost[];
  readonly wishes: HostWishes;
  /** Absent: whatever runs. */
  readonly declaredEngine?: Engine;
  /** Only what is declared. */
  readonly settings: Readonly<Record<string, string>>;
  /** Bounds for moves of slots; they concern a run, not the cluster. */
  readonly migration?: MigrationLimits;
  readonly access: Access;
}

/** The goal as it was resolved when the hosts were first seen, and carried on from there. */
export interface ExistingOutputs extends FormationOutputs, ExistingInputs {
  /** What the cluster itself had set when it was last looked at, of what decides what it survives. */
  readonly found: SurvivalSettings;
}

type Resolved = FormationInputs & ExistingInputs & { readonly found: SurvivalSettings };

/** Asked for besides what is declared: what a cluster survives depends on them. */
const SURVIVAL = ["cluster-allow-reads-when-down", "cluster-require-full-coverage", "min-replicas-to-write"];
/** A host that is just starting is waited for. */
const SILENCE_MILLISECONDS = 5_000;

/**
 * Formation over given hosts. The first run recognises what they are and records it; every later plan follows from that
 * record and the declaration, without asking anybody. Nothing is ever made, stopped or deleted here but membership, slots,
 * roles and declared settings.
 */
export const existingRunner: ResourceRunner<ExistingInputs, ExistingOutputs> = {
  async check(olds, news) {
    beginPlanning(news.cluster);
    // Nothing is recorded yet, so that without a look a preview could not say what it is about.
    if (olds.hosts === undefined) print(await outlineFirst(news));
    const defaultsVersion = olds.declaration?.defaultsVersion ?? news.declaration.defaultsVersion;
    return { inputs: { ...news, declaration: { ...news.declaration, defaultsVersion } }, failures: [] };
  },

  async diff(id, olds, news) {
    if (olds.plan === undefined || hasUnknown(news.hosts)) return { changes: true, replaces: [] };
    const seen = lastSeen(news.cluster);
    const next = carryOn(olds, news, seen);
    // An engine that nobody declared is whatever runs; another one is no change of ours.
    const before = news.declaredEngine ? olds : { ...olds, engine: next.engine };
    const { changes } = await formationRunner.diff(id, before, next);
    if (text(olds.access.proxy) !== text(news.access.proxy) && isPlanned(news.cluster))
      print([
        `${news.cluster}: the nodes are reached in another way from now on (connection); that changes nothing on them`,
      ]);
    return { changes: changes || declaredBy(olds) !== declaredBy(news), replaces: [] };
  },

  async create(inputs) {
    const id = inputs.cluster;
    const observation = await lookPatiently(inputs);
    const recognized = recognize(inputs.cluster, inputs.hosts, inputs.wishes, observation);
    if (recognized.kind === "refused") throw refused(inputs.cluster, recognized.refusals);
    await sayWhatHolds(inputs);
    const goal = resolve(inputs, recognized.plan, observation);
    if (recognized.kind === "blank")
      return formationRunner.create(goal) as Promise<{ id: string; outs: ExistingOutputs }>;
    // What is refused is not ours to remember, so it is asked for before there is anything to remember.
    const first = plan(goalOf(goal), { members: recognized.members, verified: true }, observation);
    if (first.kind === "refuse") throw refused(inputs.cluster, first.refusals);
    markCreated(id);
    // All slots were just seen to have one owner: from here on one without means lost data.
    const verifiedAt = new Date().toISOString();
    const olds = { ...goal, members: recognized.members, shards: [], issues: [], unfinished: "", verifiedAt };
    return { id, outs: (await formationRunner.update(id, olds, goal)).outs as ExistingOutputs };
  },

  async read(id, props) {
    return formationRunner.read(id, props) as Promise<{ id: string; props: ExistingOutputs }>;
  },

  async update(id, recorded, news) {
    const observation = await lookPatiently(news);
    const olds = followNames(recorded, observation);
    const unformed = olds.verifiedAt === "" && membershipOf(olds) !== membershipOf(news);
    const goal = unformed ? startOver(news, observation) : carryOn(olds, news, observation);
    const strangers = unknownData(olds.members, observation);
    if (strangers.length > 0) throw refused(news.cluster, strangers);
    await sayWhatHolds(news);
    return (await formationRunner.update(id, olds, goal)) as { outs: ExistingOutputs };
  },

  async delete(id, props) {
    await formationRunner.delete(id, props);
  },
};

/** As text, to compare; another access is a change, since the next look needs it. */
function declaredBy(inputs: ExistingInputs): string {
  return text([membershipOf(inputs), inputs.access]);
}

/** Who is to be in the cluster, and as what. */
function membershipOf({ hosts, wishes, declaredEngine }: ExistingInputs): string {
  return text([hosts, wishes, declaredEngine ?? null]);
}

function text(value: unknown): string {
  return JSON.stringify(sorted(value ?? null));
}

async function look({ hosts, settings, access }: ExistingInputs): Promise<ClusterObservation> {
  const connections = new Connections("pulumi-redis-cluster:reader", access);
  const asked = [...new Set([...SURVIVAL, ...Object.keys(settings)])].sort();
  try {
    return {
      nodes: await Promise.all(hosts.map(({ name, endpoint }) => observeNode(name, endpoint, asked, connections))),
    };
  } finally {
    connections.close();
  }
}

async function lookPatiently(inputs: ExistingInputs): Promise<ClusterObservation> {
  const until = Date.now() + SILENCE_MILLISECONDS;
  for (;;) {
    const observation = await look(inputs);
    // A way that fails has had its own tries.
    const settled = observation.nodes.every((n) => n.answering || isWayThatFails(n));
    if (settled || Date.now() >= until) return observation;
    await setTimeout(200);
  }
}

/** The plan as recorded, for the declaration as it is now. @throws Error with all that cannot be */
function carryOn(olds: ExistingOutputs, news: ExistingInputs, seen: ClusterObservation | undefined): Resolved {
  const slotShares = olds.given?.slotShares;
  const before: HostPlan = { shards: olds.plan.shards, ...(slotShares ? { slotShares } : {}) };
  const homes = new Map(olds.members.flatMap((m) => (m.state === "member" ? [[m.name, m.shard] as const] : [])));
  const decided = changeHosts(before, news.hosts, news.wishes, homes);
  if (!decided.plan) throw new Error(`${news.cluster}: ${decided.problems.join("; ")}`);
  return resolve(news, decided.plan, seen, olds);
}

/** A first formation that failed, with other hosts or another shape now: there is nothing yet to carry on from. */
function startOver(news: ExistingInputs, observation: ClusterObservation): Resolved {
  const recognized = recognize(news.cluster, news.hosts, news.wishes, observation);
  if (recognized.kind === "refused") throw refused(news.cluster, recognized.refusals);
  return resolve(news, recognized.plan, observation);
}

/** What is not declared is taken from what was seen, else from the record. */
function resolve(
  inputs: ExistingInputs,
  hostPlan: HostPlan,
  seen: ClusterObservation | undefined,
  recorded?: ExistingOutputs,
): Resolved {
  const alive = seen ? answering(seen) : [];
  const names = new Set(inputs.hosts.map((h) => h.name));
  const settings = alive.filter((n) => names.has(n.name)).map((n) => n.settings);
  const most = (name: string) => Math.max(0, ...settings.map((s) => Number(s[name] ?? 0)));
  const any = (name: string) => settings.some((s) => s[name] === "yes");
  const complete = settings.length > 0 && settings.every((s) => SURVIVAL.every((name) => s[name] !== undefined));
  const found: SurvivalSettings =
    !complete && recorded
      ? recorded.found
      : {
          minReplicasToWrite: most("min-replicas-to-write"),
          requireFullCoverage: any("cluster-require-full-coverage"),
          allowReadsWhenDown: any("cluster-allow-reads-when-down"),
        };
  const declared: Partial<SurvivalSettings> = {
    ...ifDeclared(inputs, "min-replicas-to-write", (v) => ({ minReplicasToWrite: Number(v) })),
    ...ifDeclared(inputs, "cluster-require-full-coverage", (v) => ({ requireFullCoverage: v === "yes" })),
    ...ifDeclared(inputs, "cluster-allow-reads-when-down", (v) => ({ allowReadsWhenDown: v === "yes" })),
  };
  const { slotShares } = hostPlan;
  return {
    ...inputs,
    found,
    engine: inputs.declaredEngine ??
      engineOf(alive.map((n) => n.server)) ??
      recorded?.engine ?? { name: "redis", version: "" },
    plan: topologyOf(hostPlan, { ...found, ...declared }),
    endpoints: Object.fromEntries(inputs.hosts.map((h) => [h.name, h.endpoint])),
    nodeTimeoutMilliseconds:
      Number(inputs.settings["cluster-node-timeout"] ?? 0) ||
      recorded?.nodeTimeoutMilliseconds ||
      most("cluster-node-timeout"),
    given: slotShares ? { slotShares } : {},
  };
}

function ifDeclared<T>({ settings }: ExistingInputs, name: string, of: (value: string) => T): T | undefined {
  const value = settings[name];
  return value === undefined ? undefined : of(value);
}

/** What all of them run, as exactly as they agree; where they do not, what the first runs. */
function engineOf(servers: readonly Engine[]): Engine | undefined {
  const [first] = servers;
  if (!first) return undefined;
  const numbers = first.version.split(".");
  const agreed = numbers.filter((_, i) => {
    const start = `${numbers.slice(0, i + 1).join(".")}.`;
    return servers.every((s) => s.name === first.name && `${s.version}.`.startsWith(start));
  });
  return { name: first.name, version: agreed.length > 1 ? agreed.join(".") : first.version };
}

/** A host under another name than before is known by its node ID: it keeps its place. */
function followNames(olds: ExistingOutputs, observation: ClusterObservation): ExistingOutputs {
  const byId = new Map(answering(observation).map((n) => [n.id, n]));
  const renamed = new Map<string, string>();
  const members = olds.members.map((m): Member => {
    const node = m.state === "member" ? byId.get(m.id) : undefined;
    if (!node || node.name === m.name) return m;
    renamed.set(m.name, node.name);
    return { ...m, name: node.name, endpoint: node.endpoint };
  });
  if (renamed.size === 0) return olds;
  const shards = olds.plan.shards.map((s) => ({
    ...s,
    nodes: s.nodes.map((n) => ({ ...n, name: renamed.get(n.name) ?? n.name })),
  }));
  return { ...olds, members, plan: { ...olds.plan, shards } };
}

/** Hosts that come new must be empty. One with slots is refused by formation; keys alone it would wait for. */
function unknownData(members: readonly Member[], observation: ClusterObservation): Refusal[] {
  const ours = new Set(members.map((m) => m.id));
  const names = new Set(members.map((m) => m.name));
  return answering(observation).flatMap((n): Refusal[] =>
    n.keys > 0 && !ours.has(n.id) && !names.has(n.name)
      ? [
          {
            kind: "data-on-new-node",
            subject: n.name,
            message: `${n.name} should be empty and holds ${n.keys} keys`,
            remedy:
              "it was used before: move its data away and empty it by hand, or take it out of `nodes`; nothing is ever flushed",
          },
        ]
      : [],
  );
}

function refused(cluster: string, refusals: readonly Refusal[]): Error {
  const lines = refusals.map((r) => `${r.message}\n    → ${r.remedy}`);
  return new Error(`${cluster}: nothing was changed, because\n  ${lines.join("\n  ")}`);
}

/** Settings survive a restart of a server by its own file; one that was started without cannot keep them. */
async function sayWhatHolds({ cluster, hosts, settings, access }: ExistingInputs): Promise<void> {
  if (Object.keys(settings).length === 0) return;
  const connections = new Connections("pulumi-redis-cluster:reader", access);
  try {
    const without = await Promise.all(
      hosts.map(async ({ name, endpoint }) => {
        const [info] = await connections.send(endpoint, [["INFO", "server"]]);
        return info?.ok && parseInfo(String(info.value))["config_file"] === "" ? [name] : [];
      }),
    );
    const names = without.flat();
    if (names.length > 0)
      print([
        `${cluster}: ${names.join(", ")} ${names.length === 1 ? "runs" : "run"} without a configuration file: what is set there holds until the next restart`,
      ]);
  } finally {
    connections.close();
  }
}

async function outlineFirst(news: ExistingInputs): Promise<string[]> {
  const { cluster, hosts } = news;
  if (hasUnknown(news))
    return [
      `${cluster}: ${hosts.length} hosts; what runs on them is found when \`up\` can log in, since not all inputs are known yet`,
    ];
  const observation = await look(news);
  const recognized: Recognized = recognize(cluster, hosts, news.wishes, observation);
  if (recognized.kind === "refused") return outlineAdoption(cluster, observation, recognized, undefined);
  const { access: _secret, ...inputs } = resolve(news, recognized.plan, observation);
  return outlineAdoption(cluster, observation, recognized, goalOf(inputs));
}
