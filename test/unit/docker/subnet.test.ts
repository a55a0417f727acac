import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressNumber,
  addressText,
  candidates,
  divide,
  nodeAddress,
  nodesIn,
  numberNodes,
  overlap,
  rangeOf,
  subnetProblem,
} from "../../../infra/platforms/docker/subnet";

describe("networks", () => {
  test("are divided into a half for nodes and a half that Docker gives out", () => {
    expect(divide("10.201.8.0/21")).toEqual({
      subnet: "10.201.8.0/21",
      gateway: "10.201.8.1",
      ipRange: "10.201.12.0/22",
    });
    expect(nodeAddress("10.201.8.0/21", 0)).toBe("10.201.8.16");
    expect(nodesIn("10.201.8.0/21")).toBe(1008);
  });

  test("no node ever has the gateway's address, or one that Docker gives out", () => {
    fc.assert(
      fc.property(fc.integer({ min: 16, max: 26 }), fc.nat(255), fc.nat(), (prefix, block, number) => {
        const size = 2 ** (32 - prefix);
        const first = addressNumber("10.0.0.0") + block * 2 ** 16;
        const subnet = `${addressText(first - (first % size))}/${prefix}`;
        const { gateway, ipRange } = divide(subnet);
        const at = addressNumber(nodeAddress(subnet, number % nodesIn(subnet)));
        const [whole, given] = [rangeOf(subnet), rangeOf(ipRange)];
        expect(whole && at > whole.first && at < whole.last && overlap(whole, { first: at, last: at })).toBe(true);
        expect(given && overlap(given, { first: at, last: at })).toBe(false);
        expect(addressText(at)).not.toBe(gateway);
      }),
    );
  });

  test.each(["10.0.0.0/8", "10.0.0.0/27", "10.0.0.1/24", "10.0.0/24", "10.0.0.256/24", "fd00::/64", "10.0.0.0", ""])(
    "%j is none",
    (subnet) => {
      expect(subnetProblem(subnet)).toMatch(/is no network of IPv4 between \/16 and \/26/);
    },
  );

  test("those to choose from are sound, and none overlaps another", () => {
    const ranges = candidates(77).map((subnet) => {
      expect(subnetProblem(subnet)).toBeUndefined();
      return rangeOf(subnet) ?? { first: 0, last: 0 };
    });
    const sorted = ranges.sort((a, b) => a.first - b.first);
    for (const [i, range] of sorted.entries()) expect(range.first).toBeGreaterThan(sorted[i - 1]?.last ?? 0);
    expect(sorted[0]?.first).toBe(addressNumber("10.192.0.0"));
    expect(sorted.at(-1)?.last).toBe(addressNumber("10.223.255.255"));
  });
});

describe("numbers of nodes", () => {
  const wanted = fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), fc.nat(30), { maxKeys: 12 });
  test("stay with their nodes, are given once, and never that of a node which goes only now", () => {
    fc.assert(
      fc.property(fc.array(wanted, { minLength: 1, maxLength: 6 }), fc.integer({ min: 24, max: 60 }), (runs, room) => {
        let had: Record<string, number> = {};
        for (const names of runs) {
          const now = numberNodes(had, names, room);
          if (!now) throw new Error("there is room for all");
          expect(Object.keys(now).sort()).toEqual(Object.keys(names).sort());
          expect(new Set(Object.values(now)).size).toBe(Object.keys(now).length);
          for (const [name, number] of Object.entries(now)) {
            expect(number).toBeLessThan(Math.max(room, 31));
            if (name in had) expect(number).toBe(had[name]);
            else expect(Object.values(had)).not.toContain(number);
          }
          had = now;
        }
      }),
    );
  });

  test("are those that nodes would like, where nobody has them", () => {
    expect(numberNodes({ a: 0, b: 8 }, { a: 0, b: 8, c: 16, d: 0 }, 100)).toEqual({ a: 0, b: 8, c: 16, d: 1 });
  });

  test("end with the room", () => {
    expect(numberNodes({ a: 0, b: 1 }, { c: 0 }, 2)).toBeUndefined();
  });
});
