import { describeSize, formatSize } from "./sizes";

/**
 * How much of a node's memory data may take. The rest is for what `maxmemory` does not count: replication buffers (by
 * default up to 256 MiB, shared by all replicas), client buffers, fragmentation, the operating system, and pages that are copied
 * while a forked child writes the dataset.
 *
 * | persistence                | share | why |
 * |----------------------------|-------|-----|
 * | `none`                     | 70 %  | forks only when a replica needs a full copy |
 * | `rdb`, `aof`, `hybrid`     | 60 %  | forks regularly, while writes go on: room for a sixth of the data to be copied |
 */
export function dataShare(persistenceMode: string): number {
  return persistenceMode === "none" ? 0.7 : 0.6;
}

/** `maxmemory` for a node, in bytes, rounded down to whole MiB: `nodeMemory` times `dataShare`. */
export function maxmemoryFor(nodeMemoryBytes: number, persistenceMode: string): number {
  return Math.floor((nodeMemoryBytes * dataShare(persistenceMode)) / 1024 ** 2) * 1024 ** 2;
}

export interface SizingRequest {
  /** What the keys and values take in Redis's memory, all shards together, in bytes; without replicas. */
  dataBytes: number;
  /** Memory of the machine that one node may use, in bytes. This or `candidates` must be given. */
  nodeMemoryBytes?: number;
  /** Sizes to choose from, in bytes: such as the memory of each instance type. */
  candidates?: readonly number[];
  /** Default: 1. */
  replicasPerMaster?: number;
  /** As in `persistence.mode`. Default: `"hybrid"`. */
  persistenceMode?: string;
}

export interface Sizing {
  masters: number;
  nodeMemoryBytes: number;
  /** What to give as `maxmemory`, in bytes. */
  maxmemoryBytes: number;
  /** Masters and replicas. */
  nodes: number;
  /** Memory of all nodes, in bytes. */
  totalMemoryBytes: number;
  /** How full the masters would be: data by `maxmemory` of all, 0 to 1. */
  fill: number;
  /** The rule, in one sentence with its figures. */
  rule: string;
}

/** Masters are planned this full at most: slots never fill evenly, and scaling out needs room to work in. */
export const PLANNED_FILL = 0.8;

/**
 * How many masters of what size for so much data: the fewest that hold it at `PLANNED_FILL` of their `maxmemory`, at
 * least 3, rounded up to an odd number. Among candidates the least memory in all wins, then the fewer nodes.
 *
 * @throws RangeError where a figure is missing, negative or not finite, or no node has memory for 1 MiB of data.
 */
export function sizeCluster(request: SizingRequest): Sizing {
  const { dataBytes, replicasPerMaster = 1, persistenceMode = "hybrid" } = request;
  const candidates = request.candidates ?? (request.nodeMemoryBytes === undefined ? [] : [request.nodeMemoryBytes]);
  requireFigure("dataBytes", dataBytes);
  requireFigure("replicasPerMaster", replicasPerMaster);
  if (!Number.isInteger(replicasPerMaster))
    throw new RangeError(`replicasPerMaster: ${replicasPerMaster} is not a whole number`);
  if (candidates.length === 0)
    throw new RangeError("nodeMemoryBytes: give the memory of one node, or candidates to choose from");
  for (const bytes of candidates) requireFigure("nodeMemoryBytes", bytes);

  const sizings = candidates
    .filter((bytes) => maxmemoryFor(bytes, persistenceMode) > 0)
    .map((bytes) => sizeWith(bytes, dataBytes, replicasPerMaster, persistenceMode));
  sizings.sort((a, b) => a.totalMemoryBytes - b.totalMemoryBytes || a.nodes - b.nodes);
  const [best] = sizings;
  if (!best) throw new RangeError("nodeMemoryBytes: too little for any data; a node needs 2mb at the very least");
  return best;
}

function sizeWith(nodeMemoryBytes: number, dataBytes: number, replicas: number, mode: string): Sizing {
  const maxmemoryBytes = maxmemoryFor(nodeMemoryBytes, mode);
  const needed = Math.max(3, Math.ceil(dataBytes / (maxmemoryBytes * PLANNED_FILL)));
  const masters = needed % 2 === 0 ? needed + 1 : needed;
  const nodes = masters * (1 + replicas);
  const fill = dataBytes / (masters * maxmemoryBytes);
  return {
    masters,
    nodeMemoryBytes,
    maxmemoryBytes,
    nodes,
    totalMemoryBytes: nodes * nodeMemoryBytes,
    fill,
    rule:
      `${describeSize(dataBytes)} of data on ${masters} masters of ${describeSize(nodeMemoryBytes)}: ` +
      `maxmemory ${formatSize(maxmemoryBytes)} is ${Math.round(dataShare(mode) * 100)} % of the node's memory (persistence ${mode}), ` +
      `filled to ${Math.round(fill * 100)} % (planned for ${PLANNED_FILL * 100} % at most); at least 3 masters, an odd number`,
  };
}

function requireFigure(name: string, value: number): void {
  if (!Number.isFinite(value) || value < 0) throw new RangeError(`${name}: ${value} is not a number of 0 or more`);
}
