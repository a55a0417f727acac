import { viewSignature } from "./layout";
import type { AnsweringNode, ClusterObservation, NodeObservation } from "./observation";

/**
 * Tells a cluster that settles from one that does not get on. Progress is a state not seen before in this run, or a copy, a
 * dump or a load that has come further than ever since then. One that fails and starts over never counts twice.
 */
export class StallWatch {
  readonly #seen = new Set<string>();
  readonly #furthest = new Map<string, number[]>();
  readonly #latest = new Map<string, number[]>();
  readonly #startedOver = new Map<string, number>();
  #moved: number;

  constructor(now: number) {
    this.#moved = now;
  }

  /** What has moved since the last look, however long ago that was, has not stalled. @returns milliseconds since anything moved */
  look(observation: ClusterObservation, now: number): number {
    const state = observation.nodes.map(stateOf).join("\n");
    if (!this.#seen.has(state)) {
      this.#seen.add(state);
      this.#furthest.clear();
      this.#moved = now;
    }
    for (const node of observation.nodes) if (this.#advanced(node)) this.#moved = now;
    return now - this.#moved;
  }

  /** Something was done that shows in no state, such as keys of one slot on their way. */
  note(now: number): void {
    this.#moved = now;
  }

  /** How often a copy of this node fell back to its beginning. */
  startedOver(name: string): number {
    return this.#startedOver.get(name) ?? 0;
  }

  #advanced(node: NodeObservation): boolean {
    const counters = countersOf(node);
    const latest = this.#latest.get(node.name) ?? [];
    // From something to less of it; an end shows as nothing.
    if (counters.some((count, i) => count > 0 && count < (latest[i] ?? 0)))
      this.#startedOver.set(node.name, this.startedOver(node.name) + 1);
    this.#latest.set(
      node.name,
      counters.map((count, i) => count || (latest[i] ?? 0)),
    );
    const furthest = this.#furthest.get(node.name) ?? [];
    this.#furthest.set(
      node.name,
      counters.map((count, i) => Math.max(count, furthest[i] ?? 0)),
    );
    return counters.some((count, i) => count > (furthest[i] ?? 0));
  }
}

/**
 * What may change while the cluster settles, as text. What comes and goes by itself without leading anywhere is left out:
 * handshakes (each has an ID of its own), links between nodes, suspicions, how far a copy has come.
 */
function stateOf(node: NodeObservation): string {
  if (!node.answering) return `${node.name}|${node.reason.replace(LOADED, "")}`;
  return [
    node.id,
    node.state,
    viewSignature(node),
    node.view
      .map((e) => (e.handshake ? "" : `${e.id}${e.noaddr}${e.health === "fail"}${e.hostname ?? ""}`))
      .sort()
      .join(),
    node.replication.linkUp,
    JSON.stringify(node.settings),
  ].join("|");
}

/** Loading a large data set takes its time, and the reason says how far it has come. */
const LOADED = / \(([\d,]+) bytes so far\)/;

function countersOf(node: NodeObservation): number[] {
  if (!node.answering) return [Number((LOADED.exec(node.reason)?.[1] ?? "0").replaceAll(",", ""))];
  return [0, node.replication.syncing ? node.replication.offset : 0, ...progressOf(node)];
}

function progressOf({ replication }: AnsweringNode): number[] {
  return (replication.progress ?? "").split("/").map((text) => Number(text) || 0);
}
