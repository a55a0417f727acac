import type { PlannedNode, PlannedShard, SlotRange, TopologyPlan, Verdict } from "./plan";

/**
 * The plan as a reader of a preview sees it: one summary line, one line a shard, and what the topology survives.
 *
 * @param endpoints `address:port` by node name, where the platform knows them before the nodes exist.
 * @param title what the summary line starts with, such as `sessions: valkey 9.1`. Default: the cluster's name.
 */
export function describeTopology(
  plan: TopologyPlan,
  endpoints?: ReadonlyMap<string, string>,
  title?: string,
): string[] {
  const cluster = clusterOf(plan);
  return [
    summary(plan, title === undefined ? `${cluster}:` : `${title},`),
    ...table(plan, cluster, endpoints),
    ...describeSurvival(plan),
  ];
}

/** The cluster's name, which starts every node's name. */
function clusterOf({ shards }: TopologyPlan): string {
  const node = shards[0]?.nodes[0];
  return node ? node.name.slice(0, node.name.length - `-0-${node.zone}`.length) : "cluster";
}

function summary({ shards, zones }: TopologyPlan, start: string): string {
  const replicas = shards.map(({ nodes }) => nodes.length - 1);
  const [least, most] = [Math.min(...replicas), Math.max(...replicas)];
  const some = least < most ? `${least} to ${count(most, "replica")} each` : `${count(most, "replica")} each`;
  const each = most <= 0 ? "no replicas" : some;
  return `${start} ${count(shards.length, "master")}, ${each}, ${count(zones.length, "zone")}`;
}

function table(
  { shards }: TopologyPlan,
  cluster: string,
  endpoints: ReadonlyMap<string, string> | undefined,
): string[] {
  const replicas = Math.max(0, ...shards.map(({ nodes }) => nodes.length - 1));
  const numbered = Array.from({ length: replicas }, (_, index) =>
    replicas === 1 ? "replica" : `replica ${index + 1}`,
  );
  const rows = shards.map((shard) => row(shard, cluster, endpoints));
  return align([["shard", "slots", "master", ...numbered], ...rows]).map((line) => `  ${line}`);
}

function row(shard: PlannedShard, cluster: string, endpoints: ReadonlyMap<string, string> | undefined): string[] {
  const [master, ...replicas] = shard.nodes;
  // A node's name says cluster and shard once more; the reader has both already, at the start of the text and the line.
  const cell = (node: PlannedNode): string => {
    const prefix = `${cluster}-${shard.name.replace(/^shard-/, "")}-`;
    const short = node.name.startsWith(prefix) ? node.name.slice(prefix.length) : node.name;
    const endpoint = endpoints?.get(node.name);
    return endpoint === undefined ? short : `${short} ${endpoint}`;
  };
  return [shard.name, describeSlots(shard.slots), master ? cell(master) : "", ...replicas.map(cell)];
}

/** `0-5460 (5461)`, `none`. */
function describeSlots(ranges: readonly SlotRange[]): string {
  if (ranges.length === 0) return "none";
  const slots = ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);
  return `${ranges.map(({ start, end }) => (start === end ? `${start}` : `${start}-${end}`)).join(" ")} (${slots})`;
}

/** What the topology survives: one line for what both losses leave whole, and one for each that is not survived, with the reason. */
export function describeSurvival({ survives }: Pick<TopologyPlan, "survives">): string[] {
  const verdicts: readonly [string, Verdict][] = [
    ["one node", survives.oneNode],
    ["one zone", survives.oneZone],
  ];
  const good = verdicts.filter(([, { reads, writes }]) => reads || writes);
  const bad = verdicts.filter(([, { reads, writes }]) => !(reads && writes));
  const lines: string[] = [];
  if (good.length > 0) {
    const what = good.map(
      ([loss, { reads, writes }]) => `${loss}: ${[reads && "reads", writes && "writes"].filter(Boolean).join(" and ")}`,
    );
    lines.push(`survives the loss of any ${what.join(" · any ")}`);
  }
  for (const [loss, { reads, reason }] of bad) {
    lines.push(`does not survive the loss of ${loss}${reads ? " for writes" : ""}: ${reason}`);
  }
  return lines;
}

/** Columns padded to the widest cell; nothing after the last. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const cells of rows)
    cells.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, cell.length);
    });
  return rows.map((cells) =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
