import type { NodeEndpoint } from "../../../components/config/types";
import { SLOT_COUNT } from "../../../components/formation/slots";
import type { Answer, Command, Connections } from "../../../components/formation/wire";
import { answer } from "./commands";
import { entryFor, type Known, ModelNode, ReplyError } from "./node";

export interface ModelEngine {
  readonly name: "redis" | "valkey";
  readonly version: string;
  /** How it introduces itself, in INFO. */
  readonly info: readonly string[];
}

export const REDIS_7_0: ModelEngine = { name: "redis", version: "7.0.15", info: ["redis_version:7.0.15"] };
/** Of what Valkey does otherwise, the model knows whom a node follows that has lost all its slots. */
export const VALKEY_8_1: ModelEngine = {
  name: "valkey",
  version: "8.1.0",
  info: ["redis_version:7.2.4", "server_name:valkey", "valkey_version:8.1.0"],
};

/**
 * Redis Cluster without time: nodes with views of their own, epochs, gossip, elections, slots on their way and keys. It
 * speaks the commands that servers speak, so what is tested against it runs unchanged, and it is itself checked against
 * real servers (test/cluster/model). Messages arrive when `gossip` says so; nothing happens between.
 */
export class ModelCluster {
  readonly nodes: ModelNode[] = [];
  readonly engine: ModelEngine;
  #ids = 0;

  constructor(engine = REDIS_7_0) {
    this.engine = engine;
  }

  newId(): string {
    this.#ids++;
    return (
      ((0x9e3779b1 * this.#ids) % 2 ** 32).toString(16).padStart(8, "0") + this.#ids.toString(16).padStart(32, "0")
    );
  }

  add(endpoint: NodeEndpoint, settings: Readonly<Record<string, string>> = {}): ModelNode {
    const node = new ModelNode(this.newId(), endpoint, settings);
    this.nodes.push(node);
    return node;
  }

  at({ address, port }: Pick<NodeEndpoint, "address" | "port">): ModelNode | undefined {
    return this.nodes.find((n) => n.running && n.endpoint.address === address && n.endpoint.port === port);
  }

  byId(id: string): ModelNode | undefined {
    return this.nodes.find((n) => n.id === id);
  }

  /** Messages of every node to everybody that it knows, until nothing is new any more; replicas follow, failures are noticed. */
  settle(): void {
    for (let round = 0; round < 12; round++) {
      const before = this.#picture();
      this.gossip(() => true);
      this.noticeFailures();
      this.elect();
      this.replicate();
      if (this.#picture() === before) return;
    }
    throw new Error("gossip does not come to an end");
  }

  #picture(): string {
    return this.nodes.map((n) => `${n.running}${n.currentEpoch}${n.describe()}${n.keyCount}`).join("\n");
  }

  /** One round of pings, those that `arrives` lets through. */
  gossip(arrives: (from: ModelNode, to: ModelNode) => boolean): void {
    for (const from of this.nodes) {
      if (!from.running) continue;
      for (const entry of [...from.known.values()]) {
        if (entry.id === from.id || entry.noaddr) continue;
        const to = this.at(entry.endpoint);
        if (!to || to === from || !arrives(from, to)) continue;
        // Another node answers at that address: the entry's own is nowhere to be found.
        if (to.id !== entry.id) {
          entry.noaddr = true;
          continue;
        }
        this.hear(to, from);
        this.hear(from, to);
      }
    }
  }

  /** A greets B: each is in the other's view from now on, and has heard it once. */
  meet(a: ModelNode, b: ModelNode): void {
    this.#introduce(a, b);
    this.#introduce(b, a);
    this.hear(b, a);
    this.hear(a, b);
  }

  #introduce(to: ModelNode, whom: ModelNode): void {
    to.forgotten.delete(whom.id);
    if (!to.known.has(whom.id)) to.known.set(whom.id, { ...entryFor(whom.id, whom.endpoint) });
  }

  /** clusterProcessPacket: what a node makes of a message. Of strangers it takes none. */
  hear(to: ModelNode, from: ModelNode): void {
    const entry = to.known.get(from.id);
    if (!entry) return;
    const said = from.self;
    to.currentEpoch = Math.max(to.currentEpoch, from.currentEpoch, said.configEpoch);
    if (said.configEpoch > entry.configEpoch) entry.configEpoch = said.configEpoch;
    entry.endpoint = from.endpoint;
    entry.noaddr = false;
    entry.failed = false;
    if (said.role === "replica" && entry.role === "master") this.#disown(to, from.id);
    entry.role = said.role;
    entry.masterId = said.masterId;
    if (said.role === "master") {
      const later = this.#claims(to, from.id, entry.configEpoch, from.slots);
      if (later) this.#update(from, to, later);
    }
    // Equal epochs: the one with the smaller ID takes a new one.
    const own = to.self;
    if (own.role === "master" && said.role === "master" && own.configEpoch === said.configEpoch && from.id > to.id) {
      to.currentEpoch++;
      own.configEpoch = to.currentEpoch;
    }
    for (const about of from.known.values()) this.#hearsay(to, about);
  }

  /** The word of one slot alone, as the target of a move spreads it at once. */
  hearOfSlot(to: ModelNode, from: ModelNode, slot: number): void {
    const entry = to.known.get(from.id);
    const owner = to.slots[slot];
    if (!entry) return;
    to.currentEpoch = Math.max(to.currentEpoch, from.currentEpoch);
    entry.configEpoch = Math.max(entry.configEpoch, from.self.configEpoch);
    if (owner === from.id || to.importing.has(slot)) return;
    if (owner !== undefined && (to.known.get(owner)?.configEpoch ?? -1) >= entry.configEpoch) return;
    if (owner === to.id) to.keys.delete(slot);
    to.slots[slot] = from.id;
  }

  #disown(to: ModelNode, id: string): void {
    to.slots.forEach((owner, slot) => {
      if (owner === id) to.slots[slot] = undefined;
    });
  }

  /**
   * A node that a known one speaks of is greeted, unless it was to be forgotten. One that a node looks for in vain is where
   * others reach it.
   */
  #hearsay(to: ModelNode, about: Known): void {
    const entry = to.known.get(about.id);
    const reached = !about.noaddr && !about.failed && this.at(about.endpoint) !== undefined;
    if (entry && !entry.noaddr && reached && this.#misses(to, about.id)) entry.endpoint = about.endpoint;
    if (entry || to.forgotten.has(about.id) || about.noaddr || about.failed) return;
    const there = this.at(about.endpoint);
    if (there && there.id === about.id && there !== to) {
      this.#introduce(to, there);
      this.#introduce(there, to);
    }
  }

  /**
   * clusterUpdateSlotsConfigWith: the greater epoch owns, or whoever comes where the owner claims a slot no longer; who loses all its slots to one that took exactly these follows it,
   * on Valkey who loses them to one of its own shard.
   * @returns a later owner of some slot, of whom the claimant has to hear
   */
  #claims(to: ModelNode, id: string, configEpoch: number, owners: readonly (string | undefined)[]): Known | undefined {
    const own = to.self;
    const current = own.role === "master" ? to.id : own.masterId;
    let [claimed, taken] = [0, 0];
    const dirty: number[] = [];
    let later: Known | undefined;
    let isNews = false;
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      const owner = to.slots[slot];
      if ((owners[slot] === id) !== (owner === id)) isNews = true;
      if (owners[slot] !== id) {
        if (owner === id) to.unclaimed.add(slot);
        continue;
      }
      claimed++;
      if (owner === id) to.unclaimed.delete(slot);
      if (owner === id || to.importing.has(slot)) continue;
      const known = owner === undefined || to.unclaimed.has(slot) ? undefined : to.known.get(owner);
      if (known && known.configEpoch > configEpoch) later ??= known;
      if ((known?.configEpoch ?? -1) >= configEpoch) continue;
      if (owner !== undefined && owner === current) taken++;
      if (owner === to.id) dirty.push(slot);
      to.slots[slot] = id;
      to.unclaimed.delete(slot);
    }
    const isSuccessor = this.engine.name === "redis" ? claimed === taken : this.byId(id)?.shard === to.shard;
    if (taken > 0 && current !== undefined && to.ownedBy(current).length === 0 && isSuccessor) this.follow(to, id);
    // "I'm a sub-replica": its master follows somebody.
    else if (isNews && own.role === "replica" && this.#masterOfMaster(to))
      this.follow(to, this.#masterOfMaster(to) ?? "");
    // What a master that stays one holds of a slot that somebody else has got goes; one that follows now keeps it for its successor's data.
    else for (const slot of dirty) to.keys.delete(slot);
    return later;
  }

  #masterOfMaster(node: ModelNode): string | undefined {
    const above = node.known.get(node.self.masterId ?? "")?.masterId;
    return above === node.id ? undefined : above;
  }

  follow(node: ModelNode, masterId: string): void {
    node.follow(masterId, this.byId(masterId)?.shard);
  }

  /** clusterSendUpdate: what a node knows of a slot's later owner. Who has heard of that one's epoch takes no notice. */
  #update(to: ModelNode, from: ModelNode, { id, configEpoch }: Known): void {
    const entry = to.known.get(id);
    if (!entry || entry.configEpoch >= configEpoch) return;
    entry.role = "master";
    entry.masterId = undefined;
    entry.configEpoch = configEpoch;
    this.#claims(to, id, configEpoch, from.slots);
  }

  /** A majority of masters that do not reach a node call it failed. One without an address is never suspected. */
  noticeFailures(): void {
    for (const node of this.nodes) {
      if (!node.running) continue;
      for (const entry of node.known.values()) {
        if (entry.id === node.id || entry.noaddr || entry.failed || this.at(entry.endpoint)) continue;
        const masters = node.voters;
        const agreeing = masters.filter((m) => m.id !== entry.id && this.#misses(this.byId(m.id), entry.id));
        if (agreeing.length * 2 > masters.length) entry.failed = true;
      }
    }
  }

  /** Does a node that runs look for another one in vain? */
  #misses(node: ModelNode | undefined, id: string): boolean {
    const entry = node?.running ? node.known.get(id) : undefined;
    return entry !== undefined && (entry.noaddr || !this.at(entry.endpoint));
  }

  /** A replica whose master failed, and that still reaches a majority of masters, takes its slots with a new epoch. */
  elect(): void {
    for (const node of this.nodes) {
      const { masterId, role } = node.self;
      if (!node.running || role !== "replica" || masterId === undefined) continue;
      if (!node.known.get(masterId)?.failed || node.ownedBy(masterId).length === 0) continue;
      if (this.promote(node)) return;
    }
  }

  /** An election: with the votes of a majority of the masters with slots, or without asking anybody. */
  promote(node: ModelNode, alone = false): boolean {
    const { masterId } = node.self;
    if (masterId === undefined) return false;
    const masters = node.voters;
    const voting = masters.filter((m) => {
      const voter = this.byId(m.id);
      return voter?.running && voter.known.has(node.id);
    });
    if (!alone && voting.length * 2 <= masters.length) return false;
    node.currentEpoch = Math.max(node.currentEpoch, ...masters.map((m) => this.byId(m.id)?.currentEpoch ?? 0)) + 1;
    node.self.role = "master";
    node.self.masterId = undefined;
    node.self.configEpoch = node.currentEpoch;
    for (const slot of node.ownedBy(masterId)) node.slots[slot] = node.id;
    return true;
  }

  /** Replicas hold what whoever answers at their master's address holds. */
  replicate(): void {
    for (const node of this.nodes) {
      if (!node.running || node.self.role !== "replica") continue;
      const master = this.masterOf(node);
      if (master) node.keys = new Map([...master.keys].map(([slot, keys]) => [slot, new Set(keys)]));
    }
  }

  masterOf(node: ModelNode): ModelNode | undefined {
    const entry = node.known.get(node.self.masterId ?? "");
    if (!entry || entry.noaddr) return undefined;
    const there = this.at(entry.endpoint);
    return there?.id === entry.id ? there : undefined;
  }

  /** One command to one node. @throws ReplyError as a server answers */
  call(node: ModelNode, command: Command): unknown {
    return answer(this, node, command.map(String));
  }

  /** In the place of real connections: `observe` and `execute` run unchanged over the model. */
  connections(): Connections {
    const send = async (endpoint: NodeEndpoint, commands: readonly Command[], options: { binary?: boolean } = {}) =>
      commands.map((command): Answer => {
        const node = this.at(endpoint);
        if (!node) return { ok: false, error: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) };
        try {
          const value = this.call(node, command);
          return { ok: true, value: options.binary ? asBytes(value) : value };
        } catch (error) {
          if (error instanceof ReplyError) return { ok: false, error };
          throw error;
        }
      });
    const made = {
      send,
      clientName: "model",
      migrateAuth: [],
      certificateOf: () => undefined,
      renew: () => {},
      close: () => {},
      another: () => made,
    };
    return made as unknown as Connections;
  }
}

function asBytes(value: unknown): unknown {
  if (typeof value === "string") return Buffer.from(value);
  return Array.isArray(value) ? value.map(asBytes) : value;
}
