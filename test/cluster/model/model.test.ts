import { describe, expect, test } from "vitest";
import { parseClusterNodes } from "../../../components/formation/clusterNodes";
import { formatRanges } from "../../../components/formation/slots";
import { Random } from "../../chaos/random";
import { programFor, TestCluster, until } from "../../support/formation";
import { ModelCluster } from "../../support/model/cluster";
import { type ModelNode, ReplyError } from "../../support/model/node";
import type { TestServerName } from "../../support/servers";

/** The version whose code the model follows; later ones take marks away that it leaves. */
const SERVERS: readonly TestServerName[] = ["redis-7.0"];
const COMMANDS = process.env.FULL ? 60 : 14;
const SEED = Number(process.env.MODEL_SEED ?? 7);

/** Gossip among six nodes takes a second or two; a machine that is busy, more. */
const AGREEMENT_MILLISECONDS = 20_000;

/** The same nodes twice: real, and of the model. Commands go to both. */
class Twins {
  readonly real: TestCluster;
  readonly model = new ModelCluster();
  readonly #models = new Map<string, ModelNode>();
  readonly #ids = new Map<string, string>();

  private constructor(real: TestCluster) {
    this.real = real;
  }

  static async of(real: TestCluster): Promise<Twins> {
    const twins = new Twins(real);
    for (const name of real.names) {
      const node = twins.model.add(real.endpoint(name));
      // Equal epochs are settled by the order of IDs.
      const id = String(await real.sendTo(name, ["CLUSTER", "MYID"]));
      node.rename(id);
      twins.#ids.set(id, name);
      twins.#models.set(name, node);
    }
    return twins;
  }

  node(name: string): ModelNode {
    const node = this.#models.get(name);
    if (!node) throw new Error(`no node ${name}`);
    return node;
  }

  /** To both; they have to agree whether it can be done, and after a while on what everybody sees. @returns whether it was done */
  async send(name: string, ...command: [string, ...string[]]): Promise<boolean> {
    const answer = String(await this.real.sendTo(name, command));
    let modelled = "OK";
    try {
      this.model.call(this.node(name), command);
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      modelled = `error: ${error.message}`;
    }
    const what = `${name}: ${command.join(" ")}`;
    expect([what, modelled.startsWith("error")], `${answer} and ${modelled}`).toEqual([
      what,
      answer.startsWith("error"),
    ]);
    this.model.settle();
    let [views, expected] = [[""], [""]];
    await until(
      `real nodes agree with the model after ${what}`,
      async () => {
        views = await this.#realViews();
        expected = this.real.names.map((n) => this.#picture(this.node(n).describe()));
        return views.join("\n\n") === expected.join("\n\n");
      },
      AGREEMENT_MILLISECONDS,
    ).catch(() => expect([what, views]).toEqual([what, expected]));
    return !modelled.startsWith("error");
  }

  async #realViews(): Promise<string[]> {
    return (await this.real.send(["CLUSTER", "NODES"])).map((text) => this.#picture(String(text)));
  }

  /** Without what has no bearing: epochs' figures, times, handshakes. */
  #picture(text: string): string {
    const name = (id: string) => this.#ids.get(id) ?? id;
    return parseClusterNodes(text)
      .filter((e) => !e.handshake)
      .map((e) => {
        const open = e.openSlots.map((o) => `${o.slot} ${o.direction} ${name(o.peerId)}`).sort();
        const flags = [e.health === "fail" ? "fail" : "", e.noaddr ? "noaddr" : ""].join("");
        return `${name(e.id)} ${e.role} ${e.masterId ? name(e.masterId) : "-"} ${formatRanges(e.slots)} ${open} ${flags}`;
      })
      .sort()
      .join("\n");
  }
}

describe.each(SERVERS)("the model of the property tests and real nodes of %s", (server) => {
  test("answer the same to the same commands, and come to the same views", { timeout: 600_000 }, async (context) => {
    const real = await TestCluster.start({
      program: await programFor(context, server),
      masters: 3,
      replicas: 1,
      zones: 1,
      nodeTimeoutMilliseconds: 1_000,
    });
    context.onTestFinished(() => real.stop());
    const twins = await Twins.of(real);
    const names = real.names;
    const masters = names.filter((_, i) => i % 2 === 0);
    for (const [i, name] of masters.entries()) {
      await twins.send(name, "CLUSTER", "SET-CONFIG-EPOCH", `${i + 1}`);
      const { start = 0, end = 0 } = real.goal.plan.shards[i]?.slots[0] ?? {};
      await twins.send(name, "CLUSTER", "ADDSLOTSRANGE", `${start}`, `${end}`);
      await twins.send(name, "CLUSTER", "ADDSLOTSRANGE", `${start}`, `${end}`);
    }
    for (const name of names.slice(1)) {
      const { address, port } = real.endpoint(name);
      await twins.send(names[0] ?? "", "CLUSTER", "MEET", address, `${port}`);
    }
    for (const [i, name] of masters.entries())
      await twins.send(names[2 * i + 1] ?? "", "CLUSTER", "REPLICATE", twins.node(name).id);
    const random = new Random(SEED);
    let done = 0;
    for (let i = 0; i < COMMANDS; i++) {
      const [at, peer] = random.shuffle(names).map((name) => twins.node(name));
      if (!at || !peer) throw new Error("there are no nodes");
      const name = names.find((n) => twins.node(n) === at) ?? "";
      const owned = at.owned;
      const slot = `${random.chance(0.8) && owned.length > 0 ? random.pick(owned) : random.integer(0, 16_383)}`;
      const commands: [string, ...string[]][] = [
        ["CLUSTER", "FAILOVER"],
        ["CLUSTER", "REPLICATE", peer.id],
        ["CLUSTER", "SETSLOT", slot, "MIGRATING", peer.id],
        ["CLUSTER", "SETSLOT", slot, "IMPORTING", peer.id],
        ["CLUSTER", "SETSLOT", slot, "STABLE"],
        ["CLUSTER", "SETSLOT", slot, "NODE", at.id],
        ["CLUSTER", "DELSLOTS", slot],
      ];
      const command = random.pick(commands);
      if (await twins.send(name, ...command)) done++;
    }
    expect(done).toBeGreaterThan(0);
    // A slot that moves as it should: its target owns it with a new epoch, and everybody hears of it.
    const [from, to] = names
      .map((name) => twins.node(name))
      .filter((n) => n.self.role === "master" && n.owned.length > 9);
    const name = (node: ModelNode | undefined) => names.find((n) => twins.node(n) === node) ?? "";
    const slot = `${from?.owned.find((s) => !from.migrating.has(s)) ?? 0}`;
    await twins.send(name(to), "CLUSTER", "SETSLOT", slot, "IMPORTING", from?.id ?? "");
    await twins.send(name(from), "CLUSTER", "SETSLOT", slot, "MIGRATING", to?.id ?? "");
    await twins.send(name(to), "CLUSTER", "SETSLOT", slot, "NODE", to?.id ?? "");
    await twins.send(name(from), "CLUSTER", "SETSLOT", slot, "NODE", to?.id ?? "");
    expect(to?.slots[Number(slot)]).toBe(to?.id);
  });
});
