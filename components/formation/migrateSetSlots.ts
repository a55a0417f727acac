import type { NodeEndpoint } from "../config/types";
import { parseClusterNodes } from "./clusterNodes";
import { type Insistence, insist, type MigrationContext } from "./migrateContext";
import type { AnsweringNode } from "./observation";
import { expandSlots } from "./slots";
import type { Answer, Command, Connections } from "./wire";

/** Where SETSLOT waits for replicas: how many wait at the same time. */
const LANES = 8;

/**
 * Sends CLUSTER SETSLOT. From Valkey 8 on each one blocks its connection until the replicas have it too, so there they are
 * spread over several connections; elsewhere they share one round trip with what is to be asked after them.
 */
export class SlotSetter {
  readonly #context: MigrationContext;
  readonly #lanes: readonly Connections[];

  constructor(context: MigrationContext, nodes: readonly string[]) {
    this.#context = context;
    const blocks = nodes.some((node) => waitsForReplicas(context.servers[node]));
    this.#lanes = blocks ? Array.from({ length: LANES }, () => context.connections.another()) : [];
  }

  /** Sends what sets slots, in any order, then what comes after it. @returns what the latter answered */
  async set(
    endpoint: NodeEndpoint,
    node: string,
    commands: readonly Command[],
    how: Insistence,
    after: readonly Command[] = [],
  ): Promise<Answer[]> {
    if (this.#lanes.length === 0) {
      const answers = await insist(this.#context, endpoint, node, [...commands, ...after], how);
      return answers.slice(commands.length);
    }
    const sent = this.#shares(commands).map(({ lane, own }) =>
      insist({ ...this.#context, connections: lane }, endpoint, node, own, how),
    );
    // All of them end before any failure does: none may still be sending when the round is over.
    const failed = (await Promise.allSettled(sent)).find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
    return insist(this.#context, endpoint, node, after, how);
  }

  /**
   * Nodes that have no part in it are told who owns these slots now, each those that it does not know of. The new owner has told
   * everybody of every slot (a PONG to all), so mostly there is none; where one got lost, this is sooner than gossip, to
   * which it is left where this fails too.
   */
  async tell(nodes: readonly NodeEndpoint[], slots: readonly number[], ownerId: string): Promise<void> {
    const { connections } = this.#context;
    if (slots.length === 0) return;
    await Promise.all(
      nodes.map(async (node) => {
        const [answer] = await connections.send(node, [["CLUSTER", "NODES"]]);
        if (!answer?.ok) return;
        const owner = parseClusterNodes(String(answer.value)).find((e) => e.id === ownerId);
        const known = new Set(expandSlots(owner?.slots ?? []));
        const news = slots.filter((slot) => !known.has(slot));
        await connections.send(
          node,
          news.map((slot): Command => ["CLUSTER", "SETSLOT", slot, "NODE", ownerId]),
        );
      }),
    );
  }

  close(): void {
    for (const lane of this.#lanes) lane.close();
  }

  #shares(commands: readonly Command[]): { lane: Connections; own: Command[] }[] {
    return this.#lanes.map((lane, i) => ({ lane, own: commands.filter((_, at) => at % LANES === i) }));
  }
}

function waitsForReplicas(server: AnsweringNode["server"] | undefined): boolean {
  return server?.name === "valkey" && Number.parseInt(server.version, 10) >= 8;
}
