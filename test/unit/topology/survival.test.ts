import { describe, expect, test } from "vitest";
import type { ClusterSpec } from "../../../components/spec/spec";
import { place } from "../../../components/topology/place";
import type { Survival } from "../../../components/topology/plan";
import { specOf } from "./support";

const survives = (masters: number, replicas: number, zones: number, more: Partial<ClusterSpec> = {}): Survival =>
  place(specOf(masters, replicas, zones, more)).survives;
const short = ({ oneNode, oneZone }: Survival): string =>
  [oneNode, oneZone].map(({ reads, writes }) => `${reads ? "r" : "-"}${writes ? "w" : "-"}`).join(" ");

describe("what a topology survives: one node, one zone; reads, writes", () => {
  test.each<[string, number, number, number, Partial<ClusterSpec>, string]>([
    ["3+3 on 3 zones: everything", 3, 1, 3, {}, "rw rw"],
    ["5+10 on 3 zones: everything", 5, 2, 3, {}, "rw rw"],
    ["9+9 on 3 zones: everything", 9, 1, 3, {}, "rw rw"],
    ["3+0: one node takes its slots with it", 3, 0, 3, {}, "-- --"],
    ["3+3 on 1 zone", 3, 1, 1, {}, "rw --"],
    ["3+3 on 2 zones: one holds two of three masters", 3, 1, 2, {}, "rw --"],
    ["4+4 on 2 zones: each holds half", 4, 1, 2, {}, "rw --"],
    ["4+4 on 3 zones: one holds half", 4, 1, 3, {}, "rw --"],
    ["the same with reads allowed while down", 4, 1, 3, { allowReadsWhenDown: true }, "rw r-"],
    ["allowed reads do not bring lost slots back", 3, 0, 3, { allowReadsWhenDown: true }, "-- --"],
    ["4 on 4 zones keep a majority", 4, 1, 4, {}, "rw rw"],
    ["one replica required of one: any loss stops writes", 3, 1, 3, { minReplicasToWrite: 1 }, "r- r-"],
    ["one required of two: one more may go", 3, 2, 3, { minReplicasToWrite: 1 }, "rw rw"],
    ["two required of two", 3, 2, 3, { minReplicasToWrite: 2 }, "r- r-"],
    [
      "one required of three on 2 zones: a zone takes two nodes and the majority",
      3,
      3,
      2,
      { minReplicasToWrite: 1 },
      "rw --",
    ],
    [
      "two required of three on 3 zones: a zone takes two nodes of a shard",
      3,
      3,
      3,
      { minReplicasToWrite: 2 },
      "rw r-",
    ],
    [
      "full coverage asked for changes nothing while everything fails over",
      3,
      1,
      3,
      { requireFullCoverage: true },
      "rw rw",
    ],
  ])("%s", (_, masters, replicas, zones, more, expected) =>
    expect(short(survives(masters, replicas, zones, more))).toBe(expected),
  );

  test("the reasons", () => {
    expect(survives(3, 1, 3)).toEqual({
      oneNode: { reads: true, writes: true, reason: "a replica takes over, voted for by the other 2 of 3 masters" },
      oneZone: {
        reads: true,
        writes: true,
        reason: "every shard has a copy in another zone, and at least 2 of 3 masters are left to vote",
      },
    });
    expect(survives(3, 0, 3).oneNode.reason).toBe(
      "node sessions-0-zone-a holds every copy of the slots of shard-0; the other shards go on",
    );
    expect(survives(3, 0, 3, { requireFullCoverage: true }).oneNode.reason).toBe(
      "node sessions-0-zone-a holds every copy of the slots of shard-0; and requireFullCoverage makes the other shards refuse as well",
    );
    expect(survives(3, 0, 2).oneZone.reason).toBe(
      "zone zone-a holds every copy of the slots of shard-0 and of 1 more; and the other shards are left without a majority",
    );
    expect(survives(3, 1, 1).oneZone.reason).toBe("zone zone-a holds all nodes");
    expect(survives(3, 1, 2).oneZone.reason).toBe(
      "zone zone-a holds 2 of 3 masters, so the rest has no majority: nothing fails over and writes stop, and reads too, without allowReadsWhenDown",
    );
    expect(survives(3, 1, 3, { minReplicasToWrite: 1 }).oneZone.reason).toBe(
      "without zone zone-a shard-0 (and 1 more) has no replica left, and minReplicasToWrite: 1 makes it refuse writes",
    );
    expect(survives(3, 3, 3, { minReplicasToWrite: 2 }).oneZone.reason).toBe(
      "without zone zone-a shard-0 has 1 replica left, and minReplicasToWrite: 2 makes it refuse writes",
    );
  });

  test("what a shape promises, verification demands: nothing that it cannot hold", () => {
    const promises = (masters: number, replicas: number, zones: number): [boolean, boolean] => {
      const { shardsSpanZones, mastersKeepMajority } = place(specOf(masters, replicas, zones)).promises;
      return [shardsSpanZones, mastersKeepMajority];
    };
    expect(promises(3, 1, 3)).toEqual([true, true]);
    expect(promises(3, 0, 3)).toEqual([false, true]);
    expect(promises(4, 1, 3)).toEqual([true, false]);
    expect(promises(3, 1, 2)).toEqual([true, false]);
    expect(promises(3, 2, 1)).toEqual([false, false]);
  });
});
