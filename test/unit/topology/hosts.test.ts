import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { countSlots, SLOT_COUNT } from "../../../components/formation/slots";
import { changeHosts, formFromHosts, type Host, type HostPlan, topologyOf } from "../../../components/topology/hosts";

const hosts = (...zones: string[]): Host[] => zones.map((zone, i) => ({ name: `n${i}`, zone }));
const keep = { rebalance: false };
const settings = { minReplicasToWrite: 0, requireFullCoverage: false, allowReadsWhenDown: false };

function planOf(decision: ReturnType<typeof formFromHosts>): HostPlan {
  if (!decision.plan) throw new Error(decision.problems.join());
  return decision.plan;
}
/** `n0 n3 | n1 n4`: shards, the leader first. */
const shape = ({ shards }: HostPlan) => shards.map((s) => s.nodes.map((n) => n.name).join(" ")).join(" | ");
const names = ({ shards }: HostPlan) => shards.map((s) => s.name);

describe("blank hosts", () => {
  test("masters are spread over the zones, replicas are in other zones than their master", () => {
    const plan = planOf(formFromHosts(hosts("a", "a", "b", "b", "c", "c"), keep));
    const topology = topologyOf(plan, settings);
    expect(topology.promises).toEqual({ shardsSpanZones: true, mastersKeepMajority: true });
    expect(topology.survives.oneZone.writes).toBe(true);
    expect(plan.shards.reduce((sum, s) => sum + countSlots(s.slots), 0)).toBe(SLOT_COUNT);
  });

  test("the last replicas change places rather than share a zone with their master", () => {
    // One after the other, the shard led in c would be left with the second host of c.
    const plan = planOf(formFromHosts(hosts("a", "b", "c", "c", "b", "a"), { rebalance: false, masters: 3 }));
    expect(topologyOf(plan, settings).promises.shardsSpanZones).toBe(true);
  });

  test("what is not declared follows from their number", () => {
    const masters = (count: number, wishes = {}) =>
      formFromHosts(hosts(...Array(count).fill("a")), { ...keep, ...wishes }).plan?.shards.length;
    expect([3, 4, 6, 7, 10].map((n) => masters(n))).toEqual([3, 3, 3, 3, 5]);
    expect(masters(9, { replicasPerMaster: 2 })).toBe(3);
    expect(masters(9, { replicasPerMaster: 0 })).toBe(9);
    expect(masters(9, { masters: 4 })).toBe(4);
  });

  test("too few are refused with the sum", () => {
    expect(formFromHosts(hosts("a", "b"), keep).problems).toEqual(["2 hosts are too few for 3 masters: 3 are needed"]);
    expect(formFromHosts(hosts("a", "b", "c", "a"), { ...keep, masters: 3, replicasPerMaster: 1 }).problems).toEqual([
      "4 hosts are too few for 3 masters with 1 replica each: 6 are needed",
    ]);
  });
});

describe("another list of hosts", () => {
  const zones = ["a", "b", "c", "a", "b", "c", "a", "b", "c"];
  const all = hosts(...zones);
  const before: HostPlan = {
    shards: [
      ["n0", "n4"],
      ["n1", "n5"],
      ["n2", "n3"],
    ].map((nodes, i) => ({
      name: `shard-${i}`,
      slots: [],
      nodes: nodes.map((name) => ({ name, shard: `shard-${i}`, zone: zones[Number(name.slice(1))] ?? "" })),
    })),
  };
  const uneven: HostPlan = { ...before, slotShares: { "shard-0": 10_000, "shard-1": 4_000, "shard-2": 2_384 } };

  test("the same hosts in any order change nothing", () => {
    for (const plan of [before, uneven])
      expect(planOf(changeHosts(plan, all.slice(0, 6).reverse(), keep))).toEqual(plan);
  });

  test("a new host becomes a replica; with more masters it leads a shard that is new", () => {
    expect(shape(planOf(changeHosts(before, all.slice(0, 7), keep)))).toBe("n0 n4 | n1 n5 n6 | n2 n3");
    const plan = planOf(changeHosts(before, all.slice(0, 8), { rebalance: false, masters: 4 }));
    expect(shape(plan)).toBe("n0 n4 | n1 n5 | n2 n3 | n6 n7");
    expect(names(plan)).toEqual(["shard-0", "shard-1", "shard-2", "shard-3"]);
  });

  test("a shard that is new gets an average share, the others keep their proportions", () => {
    const plan = planOf(changeHosts(uneven, all.slice(0, 7), { rebalance: false, masters: 4 }));
    expect(plan.slotShares).toEqual({ "shard-0": 7_500, "shard-1": 3_000, "shard-2": 1_788, "shard-3": 4_096 });
    const back = planOf(changeHosts(plan, all.slice(0, 6), keep));
    expect(Object.values(back.slotShares ?? {})).toEqual([10_000, 4_000, 2_384]);
  });

  test("rebalance forgets the shares, and lets nodes in other zones lead", () => {
    const crowded: HostPlan = {
      ...uneven,
      shards: before.shards.map((s) => ({ ...s, nodes: s.nodes.map((n) => ({ ...n, zone: "" })) })),
    };
    const inZones = ["a", "a", "a", "c", "b", "b"].map((zone, i) => ({ name: `n${i}`, zone }));
    const asFound = planOf(changeHosts(crowded, inZones, keep));
    expect(topologyOf(asFound, settings).promises.mastersKeepMajority).toBe(false);
    const plan = planOf(changeHosts(crowded, inZones, { rebalance: true }));
    expect(plan.slotShares).toBeUndefined();
    expect(topologyOf(plan, settings).promises.mastersKeepMajority).toBe(true);
    expect(planOf(changeHosts(plan, inZones, { rebalance: true }))).toEqual(plan);
  });

  test("all hosts of a shard gone is a shard less, as long as three are left", () => {
    const four = planOf(changeHosts(before, all.slice(0, 8), { rebalance: false, masters: 4 }));
    const without = all.slice(0, 8).filter((h) => !["n1", "n5"].includes(h.name));
    expect(shape(planOf(changeHosts(four, without, keep)))).toBe("n0 n4 | n2 n3 | n6 n7");
    expect(changeHosts(before, without.slice(0, 4), keep).problems).toEqual([
      expect.stringMatching(/^2 of the 3 shards would keep a host, and a cluster has 3 or more/),
    ]);
  });

  test("fewer masters than shards with hosts is refused with the choice; more than hosts allow, with the number", () => {
    expect(changeHosts(before, all.slice(0, 6), { rebalance: false, masters: 5 }).problems).toEqual([
      "masters: 5 needs 2 hosts that are in no shard yet, and 0 are given: add hosts to `nodes`",
    ]);
    const four = planOf(changeHosts(before, all.slice(0, 8), { rebalance: false, masters: 4 }));
    expect(changeHosts(four, all.slice(0, 8), { rebalance: false, masters: 3 }).problems?.[0]).toMatch(
      /masters: 3 is fewer than the 4 shards.*take all hosts of 1 of them out.*shard-3: n6, n7/,
    );
    expect(changeHosts(before, all.slice(0, 6), { rebalance: false, replicasPerMaster: 2 }).problems?.[0]).toMatch(
      /replicasPerMaster: 2 is more than there are hosts for in shard-0: n0, n4; shard-1/,
    );
  });

  test("a host that had not left yet goes back to its shard, even one that was to go", () => {
    const fewer = planOf(changeHosts(before, all.slice(0, 5), keep));
    expect(shape(fewer)).toBe("n0 n4 | n1 | n2 n3");
    expect(shape(planOf(changeHosts(fewer, all.slice(0, 6), keep, new Map([["n5", "shard-1"]]))))).toBe(shape(before));
    const homes = new Map([["n8", "shard-7"]]);
    expect(names(planOf(changeHosts(before, [...all.slice(0, 6), ...all.slice(8)], keep, homes)))).toContain("shard-7");
  });

  test("for any lists: every host is in one shard, who stays, stays where it was, and a second look decides the same", () => {
    const zone = fc.constantFrom("a", "b", "c", "d");
    fc.assert(
      fc.property(
        fc.array(zone, { minLength: 3, maxLength: 14 }),
        fc.array(zone, { maxLength: 6 }),
        fc.integer({ min: 0, max: 2 }),
        fc.boolean(),
        fc.boolean(),
        (first, more, newMasters, rebalance, odd) => {
          const start = planOf(formFromHosts(hosts(...first), keep));
          const shares = Object.fromEntries(
            start.shards.map((s, i) => [s.name, i === 0 ? SLOT_COUNT - start.shards.length + 1 : 1]),
          );
          const recorded = odd ? { ...start, slotShares: shares } : start;
          const added = Math.min(newMasters, more.length);
          const wishes = { rebalance, masters: start.shards.length + added };
          const list = hosts(...first, ...more);
          const plan = planOf(changeHosts(recorded, list, wishes));
          expect(plan.shards.flatMap((s) => s.nodes.map((n) => n.name)).sort()).toEqual(list.map((h) => h.name).sort());
          const shardIn = ({ shards }: HostPlan, name: string) =>
            shards.find((s) => s.nodes.some((n) => n.name === name))?.name;
          for (const { name } of hosts(...first)) expect(shardIn(plan, name)).toBe(shardIn(start, name));
          if (plan.slotShares) expect(Object.values(plan.slotShares).reduce((a, b) => a + b, 0)).toBe(SLOT_COUNT);
          expect(planOf(changeHosts(plan, list.reverse(), wishes))).toEqual(plan);
        },
      ),
    );
  });
});
