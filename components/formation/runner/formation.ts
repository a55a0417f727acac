import type { InventoryShard } from "../../cluster/inventory";
import type { ResourceRunner } from "../../cluster/shim";
import { assess } from "../assess";
import type { FormationGoal, History, Member } from "../goal";
import { layoutOf, type ShardLayout } from "../layout";
import { answering } from "../observation";
import { observe } from "../observe";
import { declaredChanges, outlineChange, outlineNew } from "../outline";
import { FormationFailed, type Reconciled, reconcile } from "../reconcile";
import { formatRange } from "../slots";
import { type Access, Connections } from "../wire";
import { EngineWatch, leaveIfOrphaned } from "./engineWatch";
import { markCreated, markDeclared, markDismantled } from "./knowledge";
import { handOver, lastSeen, remember } from "./lastSeen";
import { partialFailure, withoutUndefined } from "./partialFailure";
import { hasUnknown } from "./unknowns";

/** Inputs of the formation resource: the goal, and what it takes to reach the nodes. */
export interface FormationInputs extends FormationGoal {
  /** How many shards roll at the same time; for the preview's text. Default: 1. */
  readonly shardsAtOnce?: number;
  /** Which table of defaults holds (`DEFAULTS_VERSION` of the run that made the stack), and which arguments were given. */
  readonly declaration: { readonly defaultsVersion: number; readonly given: readonly string[] };
  readonly access: Access;
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
}

/** Clusters that this process plans: an engine also asks for a diff while it refreshes, which is not the plan yet. */
const planned = new Set<string>();

/** The same lines may be asked for twice in one run; a reader needs them once. */
const printed = new Set<string>();

function print(lines: readonly string[]): void {
  const text = lines.join("\n");
  if (text === "" || printed.has(text)) return;
  printed.add(text);
  console.log(text);
}

export const formationRunner: ResourceRunner<FormationInputs, FormationOutputs> = {
  async check(olds, news) {
    planned.add(news.cluster);
    lastSeen(news.cluster);
    markDeclared(news.cluster);
    if (olds.plan === undefined && !hasUnknown(news.plan))
      print(outlineNew({ ...news, endpoints: hasUnknown(news.endpoints) ? {} : news.endpoints }));
    const defaultsVersion = olds.declaration?.defaultsVersion ?? news.declaration.defaultsVersion;
    return { inputs: { ...news, declaration: { ...news.declaration, defaultsVersion } }, failures: [] };
  },

  async diff(_id, recorded, news) {
    const olds = complete(recorded);
    if (hasUnknown(news.endpoints) || hasUnknown(news.plan)) return { changes: true, replaces: [] };
    const changed =
      declaredChanges(olds, news).length > 0 ||
      JSON.stringify(sorted(goalOf(olds))) !== JSON.stringify(sorted(goalOf(news)));
    const changes = changed || olds.issues.length > 0 || olds.unfinished !== "";
    if (changes && planned.has(news.cluster)) {
      const evidence = {
        observation: lastSeen(olds.cluster),
        shardsAtOnce: news.shardsAtOnce ?? 1,
        unfinished: olds.unfinished,
        recorded: olds.issues,
        recordedAt: olds.verifiedAt,
      };
      print(outlineChange(goalOf(olds), goalOf(news), historyOf(olds), evidence));
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
    const connections = new Connections("pulumi-redis-cluster:reader", props.access);
    try {
      const observation = await observe(goalOf(props), connections, props.members);
      handOver(props.cluster, observation);
      const issues = assess(goalOf(props), props.members, observation).map((f) => f.message);
      const alive = answering(observation);
      // Silence says nothing about roles; then the last known layout stays.
      const shards =
        alive.length === observation.nodes.length
          ? inventoryShards(goalOf(props), layoutOf(goalOf(props), observation))
          : props.shards;
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

async function run(
  id: string,
  inputs: FormationInputs,
  history: History,
  before: Pick<FormationOutputs, "shards" | "verifiedAt">,
): Promise<FormationOutputs> {
  const watch = new EngineWatch().start();
  const outputs = (members: readonly Member[], rest: Omit<FormationOutputs, keyof FormationInputs | "members">) =>
    withoutUndefined({ ...inputs, members, ...rest });
  try {
    const result = await reconcile(goalOf(inputs), history, {
      access: inputs.access,
      onProgress: (line) => console.log(`${inputs.cluster}: ${line}`),
      stopReason: () => watch.reason(),
    });
    remember(inputs.cluster, result.observation);
    console.log(`${inputs.cluster}: verified: ${verifiedLine(result)}`);
    return outputs(result.members, {
      shards: inventoryShards(goalOf(inputs), result.layout),
      issues: [],
      unfinished: "",
      verifiedAt: new Date().toISOString(),
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
      }),
      message,
    );
  } finally {
    watch.stop();
  }
}

function verifiedLine({ observation, layout }: Reconciled): string {
  const nodes = answering(observation).length;
  return `16384 slots in ${layout.length} shards, ${nodes} nodes agree, a key written and read in each shard`;
}

/** State that an earlier version wrote may lack what came later. */
function complete(recorded: FormationOutputs): FormationOutputs {
  return { ...{ members: [], shards: [], issues: [], unfinished: "", verifiedAt: "" }, ...recorded };
}

function goalOf({ cluster, engine, plan, endpoints, settings, nodeTimeoutMilliseconds }: FormationGoal): FormationGoal {
  return { cluster, engine, plan, endpoints, settings, nodeTimeoutMilliseconds };
}

function historyOf(outputs: FormationOutputs): History {
  return { members: outputs.members, verified: outputs.verifiedAt !== "" };
}

/** Keys in one order, so that two ways of writing the same object compare as equal. */
function sorted(value: unknown): unknown {
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
        id: node?.id ?? "",
        role: node === undefined ? "unknown" : node === leader ? "master" : "replica",
      };
    }),
  }));
}
