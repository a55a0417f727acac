import { promisesOf, splitSlots } from "./place";
import type { PlannedNode, PlannedShard, TopologyPlan } from "./plan";
import { judge, type SurvivalSettings } from "./survival";

/** A node that somebody else provides: where it is was decided already, only what it is for was not. */
export interface Host {
  /** Stable name of the node. */
  readonly name: string;
  readonly zone: string;
}

/** Which hosts form which shard, and how many slots each shard is to own. Recorded, so that later runs decide the same. */
export interface HostPlan {
  readonly shards: readonly PlannedShard[];
  /** Slots by shard, which add up to 16384; absent: all the same, give or take one. */
  readonly slotShares?: Readonly<Record<string, number>>;
}

/** What the declaration asks of the shape; what it leaves out stays as it is. */
export interface HostWishes {
  readonly masters?: number;
  /** The least that every shard is to have. */
  readonly replicasPerMaster?: number;
  /** Slots evenly over the shards, masters evenly over the zones. */
  readonly rebalance: boolean;
}

/** A plan, or why there is none: what was asked for, what there is, what to do. */
export type HostDecision =
  | { readonly plan: HostPlan; readonly problems?: undefined }
  | { readonly problems: readonly string[]; readonly plan?: undefined };

const FEWEST_MASTERS = 3;
const SLOT_COUNT = 16384;

/** Shards over hosts that are in no cluster yet: masters spread over the zones, replicas in other zones than their master. */
export function formFromHosts(hosts: readonly Host[], wishes: HostWishes): HostDecision {
  const replicas = wishes.replicasPerMaster ?? 1;
  const masters = wishes.masters ?? Math.max(FEWEST_MASTERS, Math.floor(hosts.length / (replicas + 1)));
  const problems = tooFew(hosts.length, masters, wishes.replicasPerMaster ?? 0);
  if (problems.length > 0) return { problems };
  const left = [...hosts];
  const led = new Map<string, number>();
  const slots = splitSlots(masters);
  const shards = Array.from({ length: masters }, (_, index): Shard => {
    const leader = takeLeader(left, led);
    return { name: `shard-${index}`, slots: slots[index] ?? [], nodes: leader ? [leader] : [] };
  });
  attach(shards, left);
  return { plan: { shards: shards.map(planned) } };
}

/** Enough hosts for so many masters with so many replicas each? */
export function tooFew(hosts: number, masters: number, replicas: number): string[] {
  const needed = masters * (replicas + 1);
  if (hosts >= needed) return [];
  const each = replicas === 0 ? "" : ` with ${replicas} ${replicas === 1 ? "replica" : "replicas"} each`;
  return [
    `${hosts} ${hosts === 1 ? "host is" : "hosts are"} too few for ${masters} masters${each}: ${needed} are needed`,
  ];
}

/**
 * The recorded plan for another list of hosts: those that stay keep their shard, those that are gone leave it, new ones
 * become leaders of the shards that are to be added, else replicas where they are missed most.
 * @param homes shard of hosts that are members of the cluster, by name: one that was taken out and comes back before it
 *   had left goes where it was
 */
export function changeHosts(
  before: HostPlan,
  hosts: readonly Host[],
  wishes: HostWishes,
  homes: ReadonlyMap<string, string> = new Map(),
): HostDecision {
  const byName = new Map(hosts.map((h) => [h.name, h]));
  const known = new Map(before.shards.flatMap((s) => s.nodes.map((n) => [n.name, s.name] as const)));
  const shards: Shard[] = before.shards.map(({ name, slots, nodes }) => ({
    name,
    slots,
    nodes: nodes.flatMap((n) => byName.get(n.name) ?? []),
  }));
  const fresh: Host[] = [];
  for (const host of hosts) {
    if (known.has(host.name)) continue;
    const home = homes.get(host.name);
    const shard = shards.find((s) => s.name === home);
    if (shard) shard.nodes.push(host);
    else if (home === undefined) fresh.push(host);
    else shards.push({ name: home, slots: [], nodes: [host] });
  }
  const kept = shards.filter((s) => s.nodes.length > 0);
  const wanted = wishes.masters ?? kept.length;
  const problems: string[] = [];
  if (kept.length < FEWEST_MASTERS && wanted < FEWEST_MASTERS)
    problems.push(
      `${kept.length} of the ${before.shards.length} shards would keep a host, and a cluster has ${FEWEST_MASTERS} or more: leave the hosts of more shards in \`nodes\`; one whose address changed keeps its place if it keeps its name (\`name\`)`,
    );
  if (wanted < kept.length)
    problems.push(
      `masters: ${wanted} is fewer than the ${kept.length} shards whose hosts are in \`nodes\`: take all hosts of ${kept.length - wanted} of them out of \`nodes\` (${kept.map(nameAll).join("; ")}); once they have left, they can be given again, as replicas`,
    );
  if (wanted - kept.length > fresh.length)
    problems.push(
      `masters: ${wanted} needs ${wanted - kept.length} hosts that are in no shard yet, and ${fresh.length} ${fresh.length === 1 ? "is" : "are"} given: add hosts to \`nodes\``,
    );
  if (problems.length > 0) return { problems };

  const led = new Map<string, number>();
  for (const { nodes } of kept) count(led, nodes[0]?.zone ?? "");
  const taken = new Set([...before.shards.map((s) => s.name), ...homes.values()]);
  while (kept.length < wanted) {
    const leader = takeLeader(fresh, led);
    if (leader) kept.push({ name: freeName(taken), slots: [], nodes: [leader] });
  }
  attach(kept, fresh);
  const short = kept.filter((s) => s.nodes.length < (wishes.replicasPerMaster ?? 0) + 1);
  if (short.length > 0)
    return {
      problems: [
        `replicasPerMaster: ${wishes.replicasPerMaster} is more than there are hosts for in ${short.map(nameAll).join("; ")}: add hosts to \`nodes\`, or ask for fewer`,
      ],
    };
  const spread = wishes.rebalance ? spreadLeaders(kept) : kept;
  const plan = { shards: spread.map(planned) };
  if (wishes.rebalance || before.slotShares === undefined) return { plan };
  return { plan: { ...plan, slotShares: shareOut(before.slotShares, plan.shards) } };
}

/** The whole topology of a plan over hosts: what it promises and survives. */
export function topologyOf({ shards }: HostPlan, settings: SurvivalSettings): TopologyPlan {
  const zones = [...new Set(shards.flatMap((s) => s.nodes.map((n) => n.zone)))].sort();
  return { zones, shards, promises: promisesOf(shards, zones), survives: judge(shards, zones, settings) };
}

interface Shard {
  readonly name: string;
  readonly slots: PlannedShard["slots"];
  nodes: Host[];
}

function planned({ name, slots, nodes }: Shard): PlannedShard {
  return { name, slots, nodes: nodes.map((n): PlannedNode => ({ name: n.name, shard: name, zone: n.zone })) };
}

function nameAll({ name, nodes }: Shard): string {
  return `${name}: ${nodes.map((n) => n.name).join(", ")}`;
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Takes out the host that is to lead next: from the zone with the fewest leaders, then the most hosts left. */
function takeLeader(left: Host[], led: Map<string, number>): Host | undefined {
  const waiting = new Map<string, number>();
  for (const { zone } of left) count(waiting, zone);
  const [zone] = [...waiting.keys()].sort(
    (a, b) =>
      (led.get(a) ?? 0) - (led.get(b) ?? 0) || (waiting.get(b) ?? 0) - (waiting.get(a) ?? 0) || (a < b ? -1 : 1),
  );
  const at = left.findIndex((h) => h.zone === zone);
  if (at < 0 || zone === undefined) return undefined;
  count(led, zone);
  return left.splice(at, 1)[0];
}

/** Hosts become replicas: shards with the fewest nodes first, none beside a node of its own zone where that can be. */
function attach(shards: Shard[], left: Host[]): void {
  const added = new Map<Host, Shard>();
  const clash = (shard: Shard, host: Host) => shard.nodes.filter((n) => n !== host && n.zone === host.zone).length;
  while (left.length > 0) {
    const least = Math.min(...shards.map((s) => s.nodes.length));
    let best: { shard: Shard; host: Host; cost: number } | undefined;
    for (const shard of shards.filter((s) => s.nodes.length === least))
      for (const host of left) {
        const cost = clash(shard, host);
        if (!best || cost < best.cost) best = { shard, host, cost };
      }
    if (!best) return;
    left.splice(left.indexOf(best.host), 1);
    best.shard.nodes.push(best.host);
    added.set(best.host, best.shard);
  }
  // One after the other may leave the last with nothing but its own zone: two that are new change places then.
  const swap = (a: Host, b: Host) => {
    const [of, to] = [added.get(a), added.get(b)];
    if (!of || !to) return;
    of.nodes = of.nodes.map((n) => (n === a ? b : n));
    to.nodes = to.nodes.map((n) => (n === b ? a : n));
    added.set(a, to).set(b, of);
  };
  const cost = (a: Host, b: Host) =>
    [a, b].reduce((sum, h) => sum + clash(added.get(h) ?? { nodes: [], name: "", slots: [] }, h), 0);
  for (let better = true; better; ) {
    better = false;
    for (const a of added.keys())
      for (const b of added.keys()) {
        if (added.get(a) === added.get(b) || cost(a, b) === 0) continue;
        const before = cost(a, b);
        swap(a, b);
        if (cost(a, b) < before) better = true;
        else swap(a, b);
      }
  }
}

/** Another node in the lead of shards whose zone leads half of all or more, while another zone has fewer. */
function spreadLeaders(shards: readonly Shard[]): Shard[] {
  const spread = shards.map((s) => ({ ...s }));
  const led = new Map<string, number>();
  for (const { nodes } of spread) count(led, nodes[0]?.zone ?? "");
  const leads = (zone: string | undefined) => led.get(zone ?? "") ?? 0;
  for (let moved = true; moved; ) {
    moved = false;
    for (const shard of [...spread].sort((a, b) => leads(b.nodes[0]?.zone) - leads(a.nodes[0]?.zone))) {
      const [leader] = shard.nodes;
      const [heir] = [...shard.nodes].sort((a, b) => leads(a.zone) - leads(b.zone));
      if (!leader || !heir || leads(leader.zone) * 2 < spread.length || leads(heir.zone) + 1 >= leads(leader.zone))
        continue;
      led.set(leader.zone, leads(leader.zone) - 1);
      count(led, heir.zone);
      shard.nodes = [heir, ...shard.nodes.filter((n) => n !== heir)];
      moved = true;
      break;
    }
  }
  return spread;
}

function freeName(taken: Set<string>): string {
  for (let index = 0; ; index++) {
    const name = `shard-${index}`;
    if (taken.has(name)) continue;
    taken.add(name);
    return name;
  }
}

/** Shares as recorded; a shard that comes gets as much as an average one, and all give or take in proportion. */
function shareOut(recorded: Readonly<Record<string, number>>, shards: readonly PlannedShard[]): Record<string, number> {
  const staying = shards.flatMap((s) => recorded[s.name] ?? []);
  const average = staying.reduce((a, b) => a + b, 0) / Math.max(1, staying.length) || 1;
  const weights = shards.map((s) => recorded[s.name] ?? average);
  const total = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((w) => (w * SLOT_COUNT) / total);
  const shares = exact.map(Math.floor);
  const odd = SLOT_COUNT - shares.reduce((a, b) => a + b, 0);
  const byFraction = exact
    .map((e, i) => ({ i, fraction: e - Math.floor(e) }))
    .sort((a, b) => b.fraction - a.fraction || a.i - b.i);
  for (const { i } of byFraction.slice(0, odd)) shares[i] = (shares[i] ?? 0) + 1;
  return Object.fromEntries(shards.map((s, i) => [s.name, shares[i] ?? 0]));
}
