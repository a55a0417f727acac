import type { InventoryShard } from "../../cluster/inventory";
import type { ResourceRunner } from "../../cluster/shim";
import { busProblem } from "../../config/bus";
import { endpointSettings } from "../../config/nodeDirectives";
import type { IssuedCertificates } from "../../security/certificates";
import { renamed } from "../../spec/renamed";
import type { MigrationLimits } from "../../spec/spec";
import { authorityChange, type CertificatesInForce, certificatesGoal, provedCertificates } from "../certificates";
import { describeDrift } from "../drift";
import type { FormationGoal, History, Member } from "../goal";
import { layoutOf, type ShardLayout } from "../layout";
import { membersOfThisLook, rememberMembers } from "../members";
import { answering, type ClusterObservation, type NodeObservation } from "../observation";
import { observe, observeStrangers } from "../observe";
import { declaredChanges, outlineChange, outlineNew } from "../outline";
import type { TlsInput } from "../outlineCertificates";
import { FormationFailed, type Reconciled, reconcile } from "../reconcile";
import { type PasswordsInForce, type PasswordsInput, provedInForce, type UsersInput, usersGoal } from "../rotation";
import { formatRange } from "../slots";
import { type Access, Connections } from "../wire";
import { EngineWatch, leaveIfOrphaned } from "./engineWatch";
import {
  isRolling,
  markCreated,
  markDeclared,
  markDismantled,
  noteAuthority,
  notedMachines,
  noteFormed,
} from "./knowledge";
import { handOver, lastSeen, remember } from "./lastSeen";
import { partialFailure, withoutUndefined } from "./partialFailure";
import { hasUnknown } from "./unknowns";

/** Inputs of the formation resource: the goal, and what it takes to reach the nodes. */
export interface FormationInputs extends Omit<FormationGoal, "logins" | "certificates"> {
  /** Which table of defaults holds (`DEFAULTS_VERSION` of the run that made the stack), and which arguments were given. */
  readonly declaration: { readonly defaultsVersion: number; readonly given: readonly string[] };
  readonly access: Access;
  /** Users of a closed cluster, without their passwords; absent where it is open. */
  readonly users?: UsersInput;
  /** Beside `users`, and secret as a whole. */
  readonly passwords?: PasswordsInput;
  /** Absent: without TLS. */
  readonly tls?: TlsInput;
  /** Beside `tls`: what may be told of the certificates that nodes are to show. */
  readonly issued?: IssuedCertificates;
  /** Bounds for moves of slots. Not part of the goal: they concern a run, and a change of them alone is no change. */
  readonly migration?: MigrationLimits;
  /** How many shards roll at the same time; for the preview's text. Default: 1. */
  readonly shardsAtOnce?: number;
}

export interface FormationOutputs extends FormationInputs {
  /** The durable list: see `Member`. */
  readonly members: readonly Member[];
  /** Shards as observed, for the inventory. */
  readonly shards: readonly InventoryShard[];
  /** What differs from the goal, as last seen; empty when verified. A change of it makes `up` run. */
  readonly issues: readonly string[];
  /** What the last run stopped at; empty when it came to its end. Then `up` runs again, even if nothing differs now. */
  readonly unfinished: string;
  /** When a change last proved full coverage; empty before. ISO 8601. */
  readonly verifiedAt: string;
  /** Which passwords hold, since when; absent in an open cluster, and before users were proved to be there. */
  readonly passwordsInForce?: PasswordsInForce;
  /** Which certificates do; absent without TLS, and before they were proved to. */
  readonly certificatesInForce?: CertificatesInForce;
}

/** Clusters that this process plans: an engine also asks for a diff while it refreshes, which is not the plan yet. */
const planned = new Set<string>();

/** The same lines may be asked for twice in one run; a reader needs them once. */
const printed = new Set<string>();

export function print(lines: readonly string[]): void {
  const text = lines.join("\n");
  if (text === "" || printed.has(text)) return;
  printed.add(text);
  console.log(text);
}

/** From here on this process plans the cluster, and the program declares it. */
export function beginPlanning(cluster: string): void {
  planned.add(cluster);
  lastSeen(cluster);
  markDeclared(cluster);
}

/** Whether this process plans the cluster, and does not only refresh it. */
export function isPlanned(cluster: string): boolean {
  return planned.has(cluster);
}

export const formationRunner: ResourceRunner<FormationInputs, FormationOutputs> = {
  async check(olds, news) {
    beginPlanning(news.cluster);
    if (olds.plan === undefined && !hasUnknown(news.plan)) {
      const { users, passwords: _secret, tls, issued: _unknown, ...goal } = news;
      const endpoints = hasUnknown(news.endpoints) ? {} : news.endpoints;
      print(outlineNew({ ...goal, endpoints }, { ...(users ? { users } : {}), ...(tls ? { tls } : {}) }));
    }
    const defaultsVersion = olds.declaration?.defaultsVersion ?? news.declaration.defaultsVersion;
    const inputs = { ...news, declaration: { ...news.declaration, defaultsVersion } };
    // Nobody could log in any more, since nothing would know the passwords.
    const failures = olds.users && !news.users ? [{ property: "users", reason: STAYS_CLOSED }] : [];
    const name = renamed(olds.cluster, news.cluster);
    if (name) failures.push({ property: "cluster", reason: name });
    const tls = olds.plan === undefined ? undefined : busProblem(news.cluster, olds.tls, news.tls);
    if (tls) failures.push({ property: "tls", reason: tls });
    return { inputs, failures };
  },

  async diff(_id, recorded, news) {
    const olds = complete(recorded);
    const unknown = [news.endpoints, news.plan, news.passwords, news.issued].some(hasUnknown);
    if (unknown) return { changes: true, replaces: [] };
    const before = goalOf(olds, olds);
    const goal = goalOf(news, olds, Date.now());
    const changed =
      declaredChanges(before, goal).length > 0 || JSON.stringify(sorted(before)) !== JSON.stringify(sorted(goal));
    const changes = changed || olds.issues.length > 0 || olds.unfinished !== "";
    if (changes && isPlanned(news.cluster)) {
      const { observation, history } = whatIsKnown(olds, goal);
      const evidence = {
        observation,
        unfinished: olds.unfinished,
        recorded: olds.issues,
        recordedAt: olds.verifiedAt,
        ...(news.migration ? { migration: news.migration } : {}),
        shardsAtOnce: news.shardsAtOnce ?? 1,
        rolls: isRolling(news.cluster),
      };
      print(outlineChange(before, goal, history, evidence));
    }
    // Never a replacement: whatever changes, the cluster is brought there alive.
    return { changes, replaces: [] };
  },

  async create(inputs) {
    const id = inputs.cluster;
    markCreated(id);
    return { id, outs: await run(id, inputs, { members: [], verified: false }, { shards: [], verifiedAt: "" }) };
  },

  async read(id, recorded) {
    const props = complete(recorded);
    noteFormed(props.cluster);
    if (props.certificatesInForce) noteAuthority(props.cluster, props.certificatesInForce.shown.generation);
    const connections = new Connections("pulumi-redis-cluster:reader", props.access);
    try {
      const goal = goalOf(props, props);
      const observation = await observe(goal, connections, props.members);
      // Given hosts are all declared; whoever else is in their views is somebody else's.
      const strangers = goal.given ? [] : await observeStrangers(goal, props.members, observation, connections);
      handOver(props.cluster, { ...observation, strangers });
      const issues = describeDrift(goal, props.members, observation);
      const alive = answering(observation);
      // Silence says nothing about roles; then the last known layout stays.
      const shards =
        alive.length === observation.nodes.length ? inventoryShards(goal, layoutOf(goal, observation)) : props.shards;
      return { id, props: withoutUndefined({ ...props, issues, shards }) };
    } finally {
      connections.close();
    }
  },

  async update(id, recorded, news) {
    const olds = complete(recorded);
    return { outs: await run(id, news, historyOf(olds), olds) };
  },

  async delete(_id, props) {
    // The machines go next. Their guards let them: this is the whole cluster's end, not the loss of one node.
    markDismantled(props.cluster);
  },
};

/**
 * What refresh saw and the state recorded. A run that was killed recorded nothing of the machines that it added to the
 * cluster; `up` knows them by the stack's guards, and so does its preview.
 */
function whatIsKnown(
  olds: FormationOutputs,
  goal: FormationGoal,
): { observation: ClusterObservation | undefined; history: History } {
  const observation = lastSeen(olds.cluster);
  const history = historyOf(olds);
  const planned = new Set(goal.plan.shards.flatMap((s) => s.nodes.map((n) => n.name)));
  const asked = new Set(observation?.nodes.map((n) => n.name));
  const others = notedMachines(olds.cluster).filter((m) => !asked.has(m.name));
  const machines = others.sort((a, b) => (a.name < b.name ? -1 : 1));
  const joined = machines.flatMap(({ name, shard, zone, endpoint: { address, port } }): NodeObservation[] => {
    const seen = observation?.strangers?.find((s) => s.endpoint.address === address && s.endpoint.port === port);
    return seen ? [{ ...seen, name, ...(planned.has(name) ? {} : { leaving: { shard, zone } }) }] : [];
  });
  if (!observation) return { observation, history };
  const all = { nodes: [...observation.nodes, ...joined] };
  const remembered = joined.length > 0 ? rememberMembers(goal, history.members, { nodes: joined }) : history.members;
  const members = membersOfThisLook(goal, remembered, all);
  if (joined.length === 0 && members.length === history.members.length) return { observation, history };
  return { observation: all, history: { ...history, members, recorded: history.members } };
}

async function run(
  id: string,
  inputs: FormationInputs,
  history: History,
  before: Pick<FormationOutputs, "shards" | "verifiedAt"> & InForce,
): Promise<FormationOutputs> {
  const began = Date.now();
  const goal = goalOf(inputs, before, began);
  const watch = new EngineWatch().start();
  const outputs = (members: readonly Member[], rest: Omit<FormationOutputs, keyof FormationInputs | "members">) =>
    withoutUndefined({ ...inputs, members, ...rest });
  try {
    const result = await reconcile(
      goal,
      { ...history, machines: notedMachines(inputs.cluster) },
      {
        access: inputs.access,
        ...(inputs.migration ? { migration: inputs.migration } : {}),
        // This process begins with `up`; what comes before formation, such as a roll, may take its time.
        startedAt: performance.timeOrigin,
        onProgress: (line) => console.log(`${inputs.cluster}: ${line}`),
        stopReason: () => watch.reason(),
      },
    );
    remember(inputs.cluster, result.observation);
    console.log(`${inputs.cluster}: verified: ${verifiedLine(result, goal)}`);
    const inForce = proved(inputs, goal, before, began);
    sayWhereItStands(inputs, inForce);
    return outputs(result.members, {
      shards: inventoryShards(goal, result.layout),
      issues: [],
      unfinished: "",
      verifiedAt: new Date().toISOString(),
      ...inForce,
    });
  } catch (error) {
    leaveIfOrphaned(watch);
    if (!(error instanceof FormationFailed)) throw error;
    const message = `${inputs.cluster}: ${error.message}`;
    // Nothing of ours exists yet: no state is better than a record of somebody else's nodes.
    if (history.members.length === 0 && error.members.length === 0) throw new Error(message);
    throw partialFailure(
      id,
      outputs(error.members, {
        shards: before.shards,
        issues: [],
        unfinished: error.message,
        verifiedAt: before.verifiedAt,
        ...inForceOf(before),
      }),
      message,
    );
  } finally {
    watch.stop();
  }
}

/** What goes on by time is said, so that nobody is surprised by what another `up` does. */
function sayWhereItStands({ cluster, tls }: FormationInputs, { certificatesInForce }: InForce): void {
  const change = tls && certificatesInForce && authorityChange(certificatesInForce, tls.overlapSeconds);
  if (!change) return;
  const done = change.stage === 1 ? "every node trusts the later one too" : "nodes show certificates of the later one";
  console.log(
    `${cluster}: authority: stage ${change.stage} of 3 (${done}); the first \`up\` from ${change.nextFrom} takes the next one, and until then clients take the outputs caCertificatePem and credentials`,
  );
}

function verifiedLine({ observation, layout, acted }: Reconciled, goal: FormationGoal): string {
  const nodes = answering(observation).length;
  const client =
    goal.given && !acted ? "a client reaches each shard; nothing was changed" : "a key written and read in each shard";
  return `16384 slots in ${layout.length} shards, ${nodes} nodes agree, ${client}`;
}

/** State that an earlier version wrote may lack what came later. */
function complete(recorded: FormationOutputs): FormationOutputs {
  return { ...{ members: [], shards: [], issues: [], unfinished: "", verifiedAt: "" }, ...recorded };
}

/** What runs have proved so far, and since when it holds. */
type InForce = Pick<FormationOutputs, "passwordsInForce" | "certificatesInForce">;

function inForceOf({ passwordsInForce, certificatesInForce }: InForce): InForce {
  return {
    ...(passwordsInForce ? { passwordsInForce } : {}),
    ...(certificatesInForce ? { certificatesInForce } : {}),
  };
}

/** @param now ends former passwords and authorities whose time is over. Default: none ends */
export function goalOf(inputs: GoalInputs, inForce: InForce = {}, now?: number): FormationGoal {
  const { cluster, engine, plan, endpoints, settings, nodeTimeoutMilliseconds, given, users, passwords } = inputs;
  const { tls, issued } = inputs;
  const { passwordsInForce = {}, certificatesInForce } = inForce;
  return {
    ...{ cluster, engine, plan, endpoints, settings, nodeTimeoutMilliseconds },
    // What given hosts announce is for whoever provides them to say.
    ...(given ? { given } : { nodeSettings: nodeSettings(endpoints, tls !== undefined) }),
    ...(users && passwords ? { logins: usersGoal(users, passwords, passwordsInForce, now) } : {}),
    ...(tls && issued ? { certificates: certificatesGoal(issued, tls.overlapSeconds, certificatesInForce, now) } : {}),
  };
}

function nodeSettings(endpoints: FormationGoal["endpoints"], tls: boolean): FormationGoal["nodeSettings"] & object {
  return Object.fromEntries(
    Object.entries(endpoints).map(([node, endpoint]) => [node, endpointSettings(endpoint, tls)]),
  );
}

type GoalInputs = Omit<FormationInputs, "declaration" | "access">;

/** What the run that just ended well proved of passwords and certificates. */
function proved(
  { users, passwords }: FormationInputs,
  { certificates }: FormationGoal,
  { passwordsInForce = {}, certificatesInForce }: InForce,
  began: number,
): InForce {
  const time = { began, ended: Date.now() };
  return {
    ...(users && passwords
      ? { passwordsInForce: provedInForce(passwords, passwordsInForce, users.overlapSeconds, time) }
      : {}),
    ...(certificates ? { certificatesInForce: provedCertificates(certificates, certificatesInForce, time.ended) } : {}),
  };
}

const STAYS_CLOSED = "a closed cluster stays closed: declare `users` again ({} where there are none of your own)";

function historyOf(outputs: FormationOutputs): History {
  return { members: outputs.members, verified: outputs.verifiedAt !== "" };
}

/** Keys in one order, so that two ways of writing the same object compare as equal. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}

export function inventoryShards(goal: FormationGoal, layout: readonly ShardLayout[]): InventoryShard[] {
  return layout.map(({ planned, leader, replicas, strays, slots }) => ({
    name: planned.name,
    slots: slots.map(formatRange),
    nodes: planned.nodes.map(({ name, zone }) => {
      const node = [leader, ...replicas, ...strays].find((n) => n?.name === name);
      const endpoint = goal.endpoints[name];
      return {
        name,
        zone,
        address: endpoint?.address ?? "",
        port: endpoint?.port ?? 0,
        busPort: endpoint?.busPort ?? 0,
        ...(endpoint?.plainPort === undefined ? {} : { plainPort: endpoint.plainPort }),
        ...(endpoint?.hostname === undefined ? {} : { hostname: endpoint.hostname }),
        ...(endpoint?.published === undefined ? {} : { published: endpoint.published }),
        id: node?.id ?? "",
        role: node === undefined ? "unknown" : node === leader ? "master" : "replica",
      };
    }),
  }));
}
