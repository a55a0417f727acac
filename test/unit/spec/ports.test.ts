import { describe, expect, test } from "vitest";
import { ordinalOf } from "../../../components/spec/ordinals";
import { errors } from "./support";

describe("where every node has a port of its own, counted from the first", () => {
  const numbered = { numberedPorts: 1000 };

  test.each([
    // The last node is number 8 · (masters - 1) + replicas.
    [{}, 17, "3 masters with 1 replica each"],
    [{ masters: 5, replicasPerMaster: 2 }, 34, "5 masters with 2 replicas each"],
    [{ masters: 125, replicasPerMaster: 7 }, 999, "125 masters with 7 replicas each"],
  ])("the port of the last one counts: %j", (shape, span, described) => {
    const most = 22_767 - span;
    expect(errors({ ...shape, port: most }, numbered)).toEqual([]);
    expect(errors({ ...shape, port: most + 1 }, numbered)).toEqual([
      `port: ${most + 1} makes the last node's port 22768 (${described}, 8 ports a shard), so its bus port is 32768: the system gives ports from 32768 on to outgoing connections; use ${most} or less`,
    ]);
    expect(errors({ ...shape, port: 0 }, numbered)).toEqual([`port: 0 is too low; use 1 to ${most}`]);
    expect(errors({ ...shape, port: 60_000 }, numbered)[0]).toContain(`use ${most} or less`);
    expect(errors({ ...shape, port: 55_536 - span }, { ...numbered, platform: "other" })).toEqual([
      `port: ${55_536 - span} makes the last node's port 55536 (${described}, 8 ports a shard), and its bus port would be above 65535; use ${55_535 - span} or less`,
    ]);
  });

  test("of a shape that is wrong itself the first port is judged, and the advice holds for any shape", () => {
    expect(errors({ masters: 2, port: 22_760 }, numbered)).toHaveLength(1);
    expect(errors({ masters: 2, port: 22_768 }, numbered)[1]).toMatch(
      /^port: 22768, so its bus port is 32768: .*; use 21768 or less$/,
    );
  });

  test("there are so many for a shard and so many in all; elsewhere no such bound holds", () => {
    expect(errors({ replicasPerMaster: 7, masters: 125 }, numbered)).toEqual([]);
    expect(errors({ replicasPerMaster: 8, masters: 126 }, numbered)).toEqual([
      "masters: 126 is too high; use 125 or less, since a cluster has 1000 ports here, 8 for each shard",
      "replicasPerMaster: 8 is too high; use 7 or less, since a shard has 8 ports here, its master's among them",
    ]);
    expect(errors({ replicasPerMaster: 8 })).toEqual([]);
    expect(errors({ masters: 126 })).toEqual([]);
  });

  test("no two nodes of the largest shape have one number", () => {
    const numbers = Array.from({ length: 125 }, (_, shard) =>
      Array.from({ length: 8 }, (_, node) => ordinalOf(shard, node)),
    ).flat();
    expect(new Set(numbers).size).toBe(1000);
    expect(Math.max(...numbers)).toBe(999);
  });
});
