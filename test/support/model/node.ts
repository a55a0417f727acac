import type { NodeEndpoint } from "../../../components/config/types";
import { formatRange, SLOT_COUNT } from "../../../components/formation/slots";

/** What one node believes of another: an entry of its nodes.conf. */
export interface Known {
  readonly id: string;
  endpoint: NodeEndpoint;
  role: "master" | "replica";
  masterId: string | undefined;
  configEpoch: number;
  /** Agreed by a majority of masters. */
  failed: boolean;
  /** Its address answers with another ID. */
  noaddr: boolean;
}

/** An answer of a server that begins with a code in capitals. */
export class ReplyError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "ReplyError";
  }
}

/**
 * One server of the model: what it knows, holds and has been told. Names follow cluster.c (`slots`, `importing`,
 * `currentEpoch`), behaviour too; time, loss of messages and the size of data are left out.
 */
export class ModelNode {
  id: string;
  /** The shard that it belongs to, by the ID that the first of its leaders made up. */
  shard: string;
  endpoint: NodeEndpoint;
  running = true;
  currentEpoch = 0;
  /** Everybody, itself included. */
  known = new Map<string, Known>();
  /** Whom it takes for the owner of each slot. */
  slots: (string | undefined)[] = new Array(SLOT_COUNT).fill(undefined);
  /** Slots that their owner did not claim when it was last heard. */
  readonly unclaimed = new Set<number>();
  importing = new Map<number, string>();
  migrating = new Map<number, string>();
  /** IDs that it was told to forget, for a minute. */
  forgotten = new Set<string>();
  keys = new Map<number, Set<string>>();
  settings = new Map<string, string>();

  constructor(id: string, endpoint: NodeEndpoint, settings: Readonly<Record<string, string>>) {
    this.id = id;
    this.shard = id;
    this.endpoint = endpoint;
    this.settings = new Map(Object.entries(settings));
    this.known.set(id, entryFor(id, endpoint));
  }

  /** Takes this ID, while nobody knows it yet. */
  rename(id: string): void {
    this.reset(id);
  }

  get self(): Known {
    const own = this.known.get(this.id);
    if (!own) throw new Error(`${this.id} does not know itself`);
    return own;
  }

  ownedBy(id: string): number[] {
    const found: number[] = [];
    this.slots.forEach((owner, slot) => {
      if (owner === id) found.push(slot);
    });
    return found;
  }

  /** Whoever owns a slot, in its view. */
  get owners(): ReadonlySet<string> {
    const owners = new Set<string>();
    let last: string | undefined;
    for (const owner of this.slots) {
      if (owner === last) continue;
      last = owner;
      if (owner !== undefined) owners.add(owner);
    }
    return owners;
  }

  /** Masters with slots: those who vote. */
  get voters(): Known[] {
    const { owners } = this;
    return [...this.known.values()].filter((k) => k.role === "master" && owners.has(k.id));
  }

  get owned(): number[] {
    return this.ownedBy(this.id);
  }

  keysIn(slot: number): Set<string> {
    const keys = this.keys.get(slot) ?? new Set();
    this.keys.set(slot, keys);
    return keys;
  }

  get keyCount(): number {
    return [...this.keys.values()].reduce((sum, keys) => sum + keys.size, 0);
  }

  /** Forgets everything about an entry: it owns nothing any more, here. */
  drop(id: string): void {
    this.known.delete(id);
    this.slots.forEach((owner, slot) => {
      if (owner === id) this.slots[slot] = undefined;
    });
    for (const [slot, peer] of this.importing) if (peer === id) this.importing.delete(slot);
    for (const [slot, peer] of this.migrating) if (peer === id) this.migrating.delete(slot);
  }

  /** clusterSetMaster: what it held gives way to its master's data. */
  follow(masterId: string, shard = masterId): void {
    this.self.role = "replica";
    this.self.masterId = masterId;
    this.shard = shard;
    this.importing.clear();
    this.migrating.clear();
    this.slots.forEach((owner, slot) => {
      if (owner === this.id) this.slots[slot] = undefined;
    });
  }

  /** clusterBumpConfigEpochWithoutConsensus: unless it has the greatest there is already. */
  bumpEpoch(): void {
    const greatest = Math.max(this.currentEpoch, ...[...this.known.values()].map((k) => k.configEpoch));
    if (this.self.configEpoch !== 0 && this.self.configEpoch === greatest) return;
    this.currentEpoch = greatest + 1;
    this.self.configEpoch = this.currentEpoch;
  }

  reset(newId: string | undefined): void {
    if (this.self.role === "replica") this.keys.clear();
    const { endpoint } = this;
    const id = newId ?? this.id;
    if (newId !== undefined) this.currentEpoch = 0;
    const epoch = newId === undefined ? this.self.configEpoch : 0;
    this.known.clear();
    this.slots.fill(undefined);
    this.importing.clear();
    this.migrating.clear();
    this.forgotten.clear();
    this.id = id;
    this.shard = id;
    this.known.set(id, { ...entryFor(id, endpoint), configEpoch: epoch });
  }

  /** Restarted without its nodes.conf: claims the slots that it has keys for (verifyClusterConfigWithData). */
  loseIdentity(newId: string, withData: boolean): void {
    if (!withData) this.keys.clear();
    const keys = new Map(this.keys);
    this.self.role = "master";
    this.reset(newId);
    this.keys = keys;
    for (const [slot, held] of keys) if (held.size > 0) this.slots[slot] = newId;
  }

  /** CLUSTER NODES, as the server prints it. */
  describe(): string {
    const ranges = new Map<string, string[]>();
    for (let start = 0; start < SLOT_COUNT; ) {
      const owner = this.slots[start];
      let end = start;
      while (end + 1 < SLOT_COUNT && this.slots[end + 1] === owner) end++;
      if (owner !== undefined) ranges.set(owner, [...(ranges.get(owner) ?? []), formatRange({ start, end })]);
      start = end + 1;
    }
    return [...this.known.values()]
      .map((k) => {
        const flags = [
          ...(k.id === this.id ? ["myself"] : []),
          k.role === "master" ? "master" : "slave",
          ...(k.failed ? ["fail"] : []),
          ...(k.noaddr ? ["noaddr"] : []),
        ];
        const { address, port, busPort } = k.endpoint;
        const open =
          k.id === this.id
            ? [
                ...[...this.migrating].map(([slot, peer]) => `[${slot}->-${peer}]`),
                ...[...this.importing].map(([slot, peer]) => `[${slot}-<-${peer}]`),
              ]
            : [];
        const where = k.noaddr ? ":0@0" : `${address}:${port}@${busPort}`;
        const linked = k.id === this.id || !(k.failed || k.noaddr);
        return [
          k.id,
          where,
          flags.join(","),
          k.masterId ?? "-",
          0,
          0,
          k.configEpoch,
          linked ? "connected" : "disconnected",
          ...(ranges.get(k.id) ?? []),
          ...open,
        ].join(" ");
      })
      .join("\n");
  }
}

export function entryFor(id: string, endpoint: NodeEndpoint): Known {
  return { id, endpoint, role: "master", masterId: undefined, configEpoch: 0, failed: false, noaddr: false };
}
