import { randomUUID } from "node:crypto";
import type { ResourceRunner } from "../../cluster/shim";
import type { NodeEndpoint } from "../../config/types";
import { renamed } from "../../spec/renamed";
import { endpointOf, type NodeEntry } from "../clusterNodes";
import { execute } from "../execute";
import { AnotherActor, EXECUTOR_PREFIX, executorAhead, lockOrder, takeTurn } from "../lock";
import type { Step } from "../steps";
import { type Access, Connections } from "../wire";
import { handOverApart } from "./apart";
import { comeBack } from "./comeBack";
import { depart } from "./depart";
import { EngineWatch, leaveIfOrphaned } from "./engineWatch";
import {
  goesOn,
  isDismantled,
  markDeclared,
  markRolling,
  noteAccess,
  noteGuarded,
  noteRecorded,
  withNotedAccess,
} from "./knowledge";
import { letGo } from "./letGo";
import { withoutUndefined } from "./partialFailure";
import { hasUnknown, isUnknown } from "./unknowns";

/** Inputs of a guard: the machine it stands before. */
export interface GuardInputs {
  readonly cluster: string;
  readonly node: string;
  readonly endpoint: NodeEndpoint;
  /** A few nodes that come before this one in the chain: who to ask about it when it is silent. */
  readonly peers: readonly NodeEndpoint[];
  /** Changes when the machine is replaced; then the guard is replaced too, around it. */
  readonly instance: string;
  /** `delete`: losing this node's data was agreed to. */
  readonly dataOnDestroy: string;
  /** Replicas that each shard is declared to have. */
  readonly replicasPerMaster: number;
  /** Its data are on disk, as declared: whatever becomes of the process, they stay. Absent: recorded before this was. */
  readonly onDisk?: boolean;
  readonly access: Access;
}

/**
 * Stands between Pulumi and a machine: it is deleted before the machine and created after it. Deleting it hands the
 * node's leadership to a replica in sync, or refuses; creating it waits until the node is in sync again. So machines roll
 * one after the other, and none goes with slots or a last copy, whatever flags Pulumi is called with.
 */
export const guardRunner: ResourceRunner<GuardInputs, GuardInputs> = {
  async check(olds, news) {
    markDeclared(news.cluster);
    const { access } = news;
    if ((access.username !== undefined || access.tls) && !hasUnknown(access)) noteAccess(news.cluster, access);
    if (olds.cluster !== undefined && olds.node !== undefined) noteGuarded(olds.cluster, olds.node);
    const name = renamed(olds.cluster, news.cluster);
    return { inputs: news, failures: name ? [{ property: "cluster", reason: name }] : [] };
  },

  async diff(_id, olds, news) {
    // An unknown instance is a machine about to be replaced: the guard has to go first.
    const replaced = isUnknown(news.instance) || olds.instance !== news.instance;
    // Of a chain that rolls, this comes before the guard is checked. In a refresh nothing differs here.
    if (replaced) {
      markDeclared(olds.cluster);
      markRolling(olds.cluster);
      noteGuarded(olds.cluster, olds.node);
    }
    const changes =
      replaced ||
      hasUnknown(news) ||
      JSON.stringify(facts({ onDisk: news.onDisk, ...olds })) !==
        JSON.stringify(facts({ ...news, onDisk: news.onDisk }));
    return { changes, replaces: replaced ? ["instance"] : [], deleteBeforeReplace: true };
  },

  async create(inputs) {
    await guarding(inputs, comeBack);
    return { id: `${inputs.node}-guard`, outs: withoutUndefined({ ...inputs }) };
  },

  async read(id, props) {
    noteRecorded(props.cluster, props.node, props.endpoint);
    return { id, props };
  },

  async update(_id, _olds, news) {
    return { outs: withoutUndefined({ ...news }) };
  },

  async delete(_id, props) {
    await guarding(props, isDismantled(props.cluster) ? depart : letGo);
  },
};

type Facts = Omit<GuardInputs, "onDisk"> & { readonly onDisk: boolean | undefined };

function facts({ cluster, node, endpoint, dataOnDestroy, replicasPerMaster, onDisk, access, peers }: Facts): unknown {
  return [
    peers?.map((p) => `${p.address}:${p.port}`),
    cluster,
    node,
    endpoint.address,
    endpoint.port,
    endpoint.busPort,
    endpoint.hostname,
    dataOnDestroy,
    replicasPerMaster,
    onDisk,
    access.username,
    access.password,
    access.tls?.caCertificatePem,
    access.tls?.identities?.map(({ certificatePem, keyPem }) => [certificatePem, keyPem]),
    access.tls?.made,
  ];
}

/** What a guard works with. */
export interface GuardWork {
  readonly inputs: GuardInputs;
  /** For looking only. */
  readonly connections: Connections;
  readonly watch: EngineWatch;
  /**
   * Carries steps out as the only actor on this cluster. @param view the cluster's members, as one of them sees it
   * @throws AnotherActor when somebody else goes on changing it
   */
  change(
    view: readonly NodeEntry[],
    endpoints: Readonly<Record<string, NodeEndpoint>>,
    steps: readonly Step[],
  ): Promise<void>;
}

/** How long another run may go on before this one gives up. */
const TURN_MILLISECONDS = 60_000;

async function guarding(inputs: GuardInputs, task: (work: GuardWork) => Promise<void>): Promise<void> {
  const watch = new EngineWatch().start();
  const access = withNotedAccess(inputs.cluster, inputs.access);
  const connections = new Connections("pulumi-redis-cluster:guard", access);
  const executor = new Connections(`${EXECUTOR_PREFIX}${randomUUID()}`, access);
  const change: GuardWork["change"] = async (view, endpoints, steps) => {
    const members = view.filter((e) => !e.noaddr && !e.handshake && e.address !== "").map(endpointOf);
    const order = lockOrder(members);
    const say = (line: string) => console.log(`${inputs.cluster}: ${line}`);
    await takeTurn(order, executor, TURN_MILLISECONDS, say);
    leaveIfOrphaned(watch);
    const ahead = await executorAhead(order, executor);
    if (ahead) throw new AnotherActor(ahead);
    const ends = isDismantled(inputs.cluster) || !goesOn(inputs.cluster);
    const stopReason = () => watch.reason();
    const carryOut = () => execute(steps, { endpoints, masters: [], stopReason, say, ends }, executor);
    if (!steps.some((step) => step.do === "failover")) return void (await carryOut());
    // Whose turn it is among runs comes first: starts wait for this, and are not waited for with another run's turn in the way.
    await handOverApart(inputs.cluster, async () => {
      leaveIfOrphaned(watch);
      const since = await executorAhead(order, executor);
      if (since) throw new AnotherActor(since);
      await carryOut();
    });
  };
  try {
    await task({ inputs, connections, watch, change });
    leaveIfOrphaned(watch);
  } finally {
    watch.stop();
    connections.close();
    executor.close();
  }
}
