import type { TestContext } from "vitest";
import { EXECUTOR_PREFIX } from "../../../components/formation/lock";
import { answering } from "../../../components/formation/observation";
import { observe } from "../../../components/formation/observe";
import { reaffirm } from "../../../components/formation/reaffirm";
import { planMoves } from "../../../components/formation/rebalance";
import { expandSlots } from "../../../components/formation/slots";
import { programFor, until } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster, keyIn } from "./support";

export const SHAPE = { masters: 3, replicas: 0, zones: 3 };
const KEYS_A_SLOT = 3;

/** A cluster with a few slots on the wrong node, and keys in exactly those. */
export class Uneven {
  readonly cluster: ChangingCluster;
  readonly written = new Map<string, string>();

  constructor(cluster: ChangingCluster) {
    this.cluster = cluster;
  }

  static async start(
    context: TestContext,
    server: TestServerName,
    shape = SHAPE,
    timeout = 5_000,
    lines: readonly string[] = [],
  ): Promise<Uneven> {
    const cluster = await ChangingCluster.start(await programFor(context, server), shape, {
      nodeTimeoutMilliseconds: timeout,
      lines,
    });
    context.onTestFinished(() => cluster.stop());
    return new Uneven(cluster);
  }

  /** Hands slots without keys from the first leader to the second by plain commands. @returns the slots that will move */
  async unbalance(count = 3): Promise<number[]> {
    const leaders = await this.cluster.leaders();
    const [from = "", to = ""] = leaders;
    const id = String(await this.cluster.call(to, "CLUSTER", "MYID"));
    const own = (await this.#observed()).find((n) => n.name === from);
    const empty: number[] = [];
    for (const slot of expandSlots(own?.slots ?? [])) {
      if (empty.length === count) break;
      if (Number(await this.cluster.call(from, "CLUSTER", "COUNTKEYSINSLOT", slot)) === 0) empty.push(slot);
    }
    const fromId = String(await this.cluster.call(from, "CLUSTER", "MYID"));
    for (const slot of empty) {
      // IMPORTING first, or the new owner's epoch is not raised and the old one's claim comes back.
      await this.cluster.call(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromId);
      await this.cluster.call(to, "CLUSTER", "SETSLOT", slot, "NODE", id);
    }
    await until("all nodes agree", async () => new Set((await this.#observed()).map((n) => n.picture)).size === 1);
    await this.#reaffirm(to);
    return this.plannedSlots();
  }

  async plannedSlots(): Promise<number[]> {
    const connections = this.cluster.connections();
    try {
      return planMoves(this.cluster.goal, await observe(this.cluster.goal, connections)).flatMap((m) =>
        expandSlots(m.slots),
      );
    } finally {
      connections.close();
    }
  }

  /** Or some of these moves would start on a cluster whose nodes do not know for sure who claims the slots. */
  async #reaffirm(name: string): Promise<void> {
    const connections = this.cluster.connections();
    try {
      const nodes = answering(await observe(this.cluster.goal, connections));
      const owner = nodes.find((n) => n.name === name);
      if (owner)
        await reaffirm(
          owner,
          nodes.filter((n) => n !== owner),
          connections,
        );
    } finally {
      connections.close();
    }
  }

  async #observed() {
    const connections = this.cluster.connections();
    try {
      const { nodes } = await observe(this.cluster.goal, connections);
      return nodes.flatMap((n) => {
        if (!n.answering) return [];
        const slots = n.view.find((e) => e.myself)?.slots ?? [];
        const picture = n.view
          .map((e) => `${e.id} ${JSON.stringify(e.slots)}`)
          .sort()
          .join("\n");
        return [{ name: n.name, slots, picture }];
      });
    } finally {
      connections.close();
    }
  }

  async fill(slots: readonly number[], mark: string, keysInEach = KEYS_A_SLOT): Promise<void> {
    const client = this.cluster.client();
    for (const slot of slots) {
      for (let n = 0; n < keysInEach; n++) {
        const key = keyIn(slot, n);
        await client.set(key, `${mark} ${key}`);
        this.written.set(key, `${mark} ${key}`);
      }
    }
    client.disconnect();
  }

  async missing(): Promise<string[]> {
    const client = this.cluster.client();
    const wrong: string[] = [];
    for (const [key, value] of this.written) if ((await client.get(key)) !== value) wrong.push(key);
    client.disconnect();
    return wrong;
  }

  async executorsGone(): Promise<void> {
    await until("the connections of the killed run are gone", async () =>
      (await Promise.all(this.cluster.names.map((n) => this.cluster.call(n, "CLIENT", "LIST")))).every(
        (list) => !String(list).includes(EXECUTOR_PREFIX),
      ),
    );
  }
}
