import { execute } from "../../../components/formation/execute";
import type { FormationGoal, History, Machine, Member } from "../../../components/formation/goal";
import { membersOfThisLook, rememberMembers } from "../../../components/formation/members";
import { KeyRate } from "../../../components/formation/migrateRate";
import { answering, type ClusterObservation, self } from "../../../components/formation/observation";
import { observe } from "../../../components/formation/observe";
import { isWhole, type Plan, plan } from "../../../components/formation/plan";
import { importStrays, strayKeys } from "../../../components/formation/strayKeys";
import { place } from "../../../components/topology/place";
import { specOf } from "../../unit/topology/support";
import { ModelCluster, type ModelEngine, REDIS_7_0 } from "./cluster";
import type { ModelNode } from "./node";

export interface ModelShape {
  readonly masters: number;
  readonly replicas: number;
  readonly zones: number;
}

const SETTINGS = { "cluster-node-timeout": "5000", "maxmemory-policy": "noeviction" };

/** A stack over the model: formation's own `observe`, `plan` and `execute`, and servers of the model under them. */
export class ModelStack {
  readonly model: ModelCluster;
  readonly #nodes = new Map<string, ModelNode>();
  readonly #machines = new Map<string, Machine>();
  #ports = 7_000;
  goal: FormationGoal;
  members: readonly Member[] = [];
  verified = false;
  /** As where nobody has asked the stack for its machines. */
  forgetsMachines = false;

  constructor(shape: ModelShape, engine: ModelEngine = REDIS_7_0) {
    this.model = new ModelCluster(engine);
    this.goal = this.declare(shape);
  }

  /** Servers that are new are started, blank. */
  declare({ masters, replicas, zones }: ModelShape): FormationGoal {
    const { name, version } = this.model.engine;
    const spec = specOf(masters, replicas, zones, { engine: { name, version } });
    const topology = place(spec);
    for (const node of topology.shards.flatMap((s) => s.nodes)) {
      if (this.#machines.has(node.name)) continue;
      const port = this.#ports++;
      const endpoint = { address: "10.0.0.1", port, busPort: port + 10_000 };
      this.#machines.set(node.name, { ...node, endpoint });
      this.#nodes.set(node.name, this.model.add(endpoint, SETTINGS));
    }
    this.goal = {
      cluster: spec.name,
      engine: spec.engine,
      plan: topology,
      endpoints: {},
      settings: SETTINGS,
      nodeTimeoutMilliseconds: 5_000,
    };
    this.#readdress();
    return this.goal;
  }

  #readdress(): void {
    const names = this.goal.plan.shards.flatMap((s) => s.nodes.map((n) => n.name));
    const endpoints = Object.fromEntries(names.map((name) => [name, this.node(name).endpoint]));
    this.goal = { ...this.goal, endpoints };
  }

  get names(): string[] {
    return [...this.#nodes.keys()];
  }

  node(name: string): ModelNode {
    const node = this.#nodes.get(name);
    if (!node) throw new Error(`no node ${name}`);
    return node;
  }

  /** The node is at another port from now on; the others look for it where it was. */
  move(name: string): void {
    const machine = this.#machines.get(name);
    const port = this.#ports++;
    const endpoint = { address: "10.0.0.1", port, busPort: port + 10_000 };
    const node = this.node(name);
    node.endpoint = endpoint;
    node.self.endpoint = endpoint;
    if (machine) this.#machines.set(name, { ...machine, endpoint });
    this.#readdress();
  }

  get #remembered(): Machine[] {
    return this.forgetsMachines ? [] : [...this.#machines.values()];
  }

  history(): History {
    return { members: this.members, machines: this.#remembered, verified: this.verified };
  }

  observe(): Promise<ClusterObservation> {
    return observe(this.goal, this.model.connections(), this.members, this.#remembered);
  }

  /** One look and what follows from it; nothing is carried out. */
  async look(): Promise<{ next: Plan; observation: ClusterObservation }> {
    const observation = await this.observe();
    const members = rememberMembers(this.goal, this.members, observation);
    const counted = membersOfThisLook(this.goal, members, observation);
    const next = plan(this.goal, { ...this.history(), members: counted, recorded: this.members }, observation);
    if (next.kind !== "refuse") this.members = members;
    return { next, observation };
  }

  /** Carries out a batch, or those of its steps that `which` picks. */
  async carryOut(
    next: Plan,
    observation: ClusterObservation,
    which: (step: number) => boolean = () => true,
  ): Promise<void> {
    if (next.kind !== "act") return;
    const alive = answering(observation);
    await execute(
      next.steps.filter((_, i) => which(i)),
      {
        endpoints: Object.fromEntries(observation.nodes.map((n) => [n.name, n.endpoint])),
        masters: alive.filter((n) => self(n).role === "master").map((n) => n.name),
        migration: {
          servers: Object.fromEntries(alive.map((n) => [n.name, n.server])),
          nodeTimeoutMilliseconds: 5_000,
          rate: new KeyRate(undefined),
          timeIsUp: () => false,
          say: () => {},
        },
        stopReason: () => undefined,
      },
      this.model.connections(),
    );
  }

  /** To the goal, as `reconcile` goes there; `each` sees every round. @returns what it ended in */
  async converge(each: () => void = () => {}, rounds = 120): Promise<Plan> {
    let idle = 0;
    for (let round = 0; round < rounds; round++) {
      const { next, observation } = await this.look();
      const found = isWhole(next) ? await strayKeys(observation, this.model.connections()) : undefined;
      if (found && found.strays.length > 0) {
        await importStrays(found, observation, this.model.connections(), () => {});
        continue;
      }
      if (next.kind === "done" || next.kind === "refuse") {
        if (next.kind === "done") this.verified = true;
        return next;
      }
      await this.carryOut(next, observation);
      each();
      idle = next.kind === "wait" ? idle + 1 : 0;
      // Nothing comes of waiting in a cluster where nothing is under way any more.
      if (idle > 3) return next;
      this.model.settle();
      each();
    }
    throw new Error(`no end after ${rounds} rounds`);
  }
}
