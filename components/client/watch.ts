import { ioredisOptions } from "./ioredis";
import { type ClientNode, keyOf } from "./settings";

/** A node as `watchCluster` tells of it. */
export interface WatchedNode {
  /** As the stack calls it; `host:port` where the inventory does not have it, as that of a node that joined later. */
  name: string;
  /** Empty where the inventory does not have it. */
  zone: string;
  shard: string;
  host: string;
  port: number;
}

/** What to call when; all of them as the client sees the cluster. Give the ones that are wanted. */
export interface ClusterListener {
  /** A replica leads these slots in place of its master. Slots as in the inventory: `["0-5460"]`. */
  failover?(change: { slots: string[]; from: WatchedNode; to: WatchedNode }): void;
  /** Slots went to a master of another shard, as when the cluster is scaled. */
  slotsMoved?(change: { slots: string[]; from: WatchedNode; to: WatchedNode }): void;
  /** A node serves slots, or copies of them, that did not before. */
  joined?(node: WatchedNode): void;
  /** A node serves nothing any more: it left, or the others agree that it is out of service. */
  left?(node: WatchedNode): void;
  /**
   * A connection to a node failed, or was refused: its certificate, a login, a machine that is gone. Commands are tried again elsewhere.
   * The same error of the same node is told once in five seconds.
   */
  nodeError?(error: Error, node: WatchedNode): void;
  /** No node answers at all; the client goes on trying. */
  unreachable?(error: Error): void;
}

/** What `watchCluster` needs of ioredis's Cluster. */
export interface WatchedClient {
  /** By slot, master first. */
  slots: string[][];
  // biome-ignore lint/suspicious/noExplicitAny: events of many kinds
  on(event: string, listener: (...args: any[]) => void): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the same
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** Master and replicas of every slot, as their names. */
type SlotMap = readonly (readonly string[] | undefined)[];

/**
 * Tells what happens to the cluster in the words of its inventory. What changes is seen when the client looks at the slots: every five seconds,
 * and whenever a node sent it to another one.
 * @param nodes those that `clusterOptions` gives
 * @returns ends it
 */
export function watchCluster(
  client: WatchedClient,
  nodes: readonly ClientNode[],
  listener: ClusterListener,
): () => void {
  const watch = new Watch(client, nodes, listener);
  const listeners = {
    refresh: () => watch.look(),
    "node error": (error: Error, key: string) => watch.failed(error, key),
    // How ioredis calls it where sharded pub/sub has connections of its own.
    nodeError: (error: Error, key: string) => watch.failed(error, key),
    error: (error: Error) => listener.unreachable?.(error),
  };
  for (const [event, heard] of Object.entries(listeners)) client.on(event, heard);
  return () => {
    for (const [event, heard] of Object.entries(listeners)) client.off(event, heard);
  };
}

class Watch {
  readonly #client: WatchedClient;
  readonly #listener: ClusterListener;
  readonly #nodes = new Map<string, WatchedNode>();
  /** When an error was told last, by node and text. */
  readonly #told = new Map<string, number>();
  #before: SlotMap;

  constructor(client: WatchedClient, nodes: readonly ClientNode[], listener: ClusterListener) {
    this.#client = client;
    this.#listener = listener;
    for (const { name, zone, shard, host, port, aliases, connectHost, connectPort } of nodes)
      for (const key of [keyOf({ host: connectHost, port: connectPort }), ...aliases])
        if (!this.#nodes.has(key)) this.#nodes.set(key, { name, zone, shard, host, port });
    this.#before = this.#slots();
  }

  look(): void {
    const [before, now] = [this.#before, this.#slots()];
    this.#before = now;
    // The first look has nothing to compare with.
    if (before.length === 0) return;
    const [were, are] = [membersOf(before), membersOf(now)];
    for (const name of are) if (!were.has(name)) this.#listener.joined?.(this.#named(name));
    for (const { from, to, slots, succeeded } of changesOf(before, now)) {
      const change = { slots, from: this.#named(from), to: this.#named(to) };
      if (succeeded) this.#listener.failover?.(change);
      else this.#listener.slotsMoved?.(change);
    }
    for (const name of were) if (!are.has(name)) this.#listener.left?.(this.#named(name));
  }

  failed(error: Error, key: string): void {
    const node = this.#nodeAt(key);
    const told = `${node.name} ${error.message}`;
    const now = Date.now();
    if (now - (this.#told.get(told) ?? Number.NEGATIVE_INFINITY) < ioredisOptions.slotsRefreshInterval) return;
    for (const [text, at] of this.#told) if (now - at >= ioredisOptions.slotsRefreshInterval) this.#told.delete(text);
    this.#told.set(told, now);
    this.#listener.nodeError?.(error, node);
  }

  #slots(): SlotMap {
    // Slots that share their nodes share the list, so that few names are looked up.
    const known = new Map<readonly string[], readonly string[]>();
    return Array.from(this.#client.slots, (keys) => {
      if (!keys) return undefined;
      const names = known.get(keys) ?? keys.map((key) => this.#nodeAt(key).name);
      known.set(keys, names);
      return names;
    });
  }

  #nodeAt(key: string): WatchedNode {
    const known = this.#nodes.get(key);
    if (known) return known;
    const colon = key.lastIndexOf(":");
    return { name: key, zone: "", shard: "", host: key.slice(0, colon), port: Number(key.slice(colon + 1)) };
  }

  #named(name: string): WatchedNode {
    for (const node of this.#nodes.values()) if (node.name === name) return node;
    return this.#nodeAt(name);
  }
}

function membersOf(slots: SlotMap): Set<string> {
  const lists = new Set(slots);
  return new Set([...lists].flatMap((names) => names ?? []));
}

interface Change {
  readonly from: string;
  readonly to: string;
  readonly slots: string[];
  /** Whether the new master was a replica of the former one. */
  readonly succeeded: boolean;
}

function changesOf(before: SlotMap, now: SlotMap): Change[] {
  const changes = new Map<string, { from: string; to: string; succeeded: boolean; slots: number[] }>();
  for (let slot = 0; slot < now.length; slot++) {
    const [from, ...replicas] = before[slot] ?? [];
    const [to] = now[slot] ?? [];
    if (from === undefined || to === undefined || from === to) continue;
    const key = JSON.stringify([from, to]);
    const change = changes.get(key) ?? { from, to, succeeded: replicas.includes(to), slots: [] };
    change.slots.push(slot);
    changes.set(key, change);
  }
  return [...changes.values()].map((change) => ({ ...change, slots: rangesOf(change.slots) }));
}

/** Ascending slots as ranges: `["0-5460", "7000"]`. */
function rangesOf(slots: readonly number[]): string[] {
  const ranges: string[] = [];
  for (let i = 0; i < slots.length; ) {
    let end = i;
    while (slots[end + 1] === (slots[end] ?? 0) + 1) end++;
    ranges.push(i === end ? `${slots[i]}` : `${slots[i]}-${slots[end]}`);
    i = end + 1;
  }
  return ranges;
}
