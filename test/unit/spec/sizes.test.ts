import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  dataShare,
  maxmemoryFor,
  PLANNED_FILL,
  type SizingRequest,
  sizeCluster,
} from "../../../components/spec/memory";
import { describeSize, formatSize, parseSize } from "../../../components/spec/sizes";

const seed = Number(process.env.FC_SEED ?? 20240607);
const GB = 1024 ** 3;

describe("sizes, as redis.conf takes them", () => {
  test.each([
    ["0", 0],
    ["42", 42],
    ["42b", 42],
    ["1k", 1000],
    ["1kb", 1024],
    ["1m", 1_000_000],
    ["512mb", 536_870_912],
    ["1g", 1_000_000_000],
    ["10gb", 10_737_418_240],
    ["10GB", 10_737_418_240],
    ["007mb", 7_340_032],
  ])("%s", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each([
    "",
    "mb",
    "-1mb",
    "1.5gb",
    "1 gb",
    " 1gb",
    "1tb",
    "1gib",
    "0x10",
    "1e3",
    "1gb\n",
    "99999999999gb",
    "constructor",
    "1constructor",
  ])("%j is none", (text) => expect(parseSize(text)).toBeUndefined());

  test("written and read again, the bytes are the same", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(parseSize(formatSize(bytes))).toBe(bytes);
      }),
      { seed, numRuns: 1000 },
    );
    expect([0, 1000, 1024, 1536 * 1024 ** 2, 10 * GB].map(formatSize)).toEqual(["0", "1000", "1kb", "1536mb", "10gb"]);
    expect([500, 1500, 9.6 * GB, 10 * GB].map((bytes) => describeSize(Math.round(bytes)))).toEqual([
      "500 bytes",
      "1.5kb",
      "9.6gb",
      "10gb",
    ]);
  });
});

describe("maxmemory from the node's memory", () => {
  test("data stay at or below 70 %, and leave more where the server forks regularly", () => {
    for (const mode of ["none", "rdb", "aof", "hybrid"]) {
      expect(dataShare(mode)).toBeLessThanOrEqual(0.7);
      expect(dataShare(mode)).toBe(mode === "none" ? 0.7 : 0.6);
      for (const memory of [0, 1, 2 ** 20, 2 ** 30, 3 * GB + 12345]) {
        expect(maxmemoryFor(memory, mode)).toBeLessThanOrEqual(memory * dataShare(mode));
        expect(maxmemoryFor(memory, mode)).toBeGreaterThan(memory * dataShare(mode) - 2 ** 20);
        expect(maxmemoryFor(memory, mode) % 2 ** 20).toBe(0);
      }
    }
  });
});

describe("how many masters of what size", () => {
  test("100 GB on nodes of 16 GB", () => {
    expect(sizeCluster({ dataBytes: 100 * GB, nodeMemoryBytes: 16 * GB })).toEqual({
      masters: 15,
      nodeMemoryBytes: 16 * GB,
      maxmemoryBytes: 9830 * 1024 ** 2,
      nodes: 30,
      totalMemoryBytes: 480 * GB,
      fill: (100 * 1024) / (15 * 9830),
      rule: "100gb of data on 15 masters of 16gb: maxmemory 9830mb is 60 % of the node's memory (persistence hybrid), filled to 69 % (planned for 80 % at most); at least 3 masters, an odd number",
    });
  });

  test("little data still takes three masters; the cheapest candidate wins, then the fewer nodes", () => {
    expect(sizeCluster({ dataBytes: 0, nodeMemoryBytes: GB })).toMatchObject({ masters: 3, nodes: 6 });
    expect(
      sizeCluster({ dataBytes: 10 * GB, candidates: [64 * GB, 8 * GB, 16 * GB], replicasPerMaster: 0 }),
    ).toMatchObject({ masters: 3, nodeMemoryBytes: 8 * GB });
    expect(sizeCluster({ dataBytes: GB, candidates: [4 * GB, 2 * GB, 2 * GB] }).nodeMemoryBytes).toBe(2 * GB);
  });

  test("always odd, holds the data at the planned fill, and two masters fewer would not", () => {
    const request = fc.record({
      dataBytes: fc.nat(1e15),
      nodeMemoryBytes: fc.integer({ min: 64 * 2 ** 20, max: 1e12 }),
      persistenceMode: fc.constantFrom("none", "hybrid"),
    });
    fc.assert(
      fc.property(request, (of) => {
        const { masters, maxmemoryBytes, fill } = sizeCluster(of);
        expect(masters % 2).toBe(1);
        expect(fill).toBeLessThanOrEqual(PLANNED_FILL + 1e-9);
        if (masters > 3) expect((masters - 2) * maxmemoryBytes * PLANNED_FILL).toBeLessThan(of.dataBytes);
      }),
      { seed, numRuns: 1000 },
    );
  });

  test.each<[SizingRequest, string]>([
    [{ dataBytes: GB }, "nodeMemoryBytes: give the memory of one node, or candidates to choose from"],
    [{ dataBytes: Number.NaN, nodeMemoryBytes: GB }, "dataBytes: NaN is not a number of 0 or more"],
    [{ dataBytes: -1, nodeMemoryBytes: GB }, "dataBytes: -1 is not a number of 0 or more"],
    [
      { dataBytes: 1, nodeMemoryBytes: 1000 },
      "nodeMemoryBytes: too little for any data; a node needs 2mb at the very least",
    ],
    [{ dataBytes: 1, nodeMemoryBytes: GB, replicasPerMaster: 1.5 }, "replicasPerMaster: 1.5 is not a whole number"],
  ])("%j is refused", (request, message) => expect(() => sizeCluster(request)).toThrow(new RangeError(message)));
});
