import { describe, expect, test } from "vitest";
import { describeTopology } from "../../../components/topology/describe";
import { listMoves, place } from "../../../components/topology/place";
import { specOf } from "./support";

describe("the plan for a reader", () => {
  test("3+3 on 3 zones, with addresses", () => {
    const plan = place(specOf(3, 1, 3));
    const nodes = plan.shards.flatMap((shard) => shard.nodes);
    const endpoints = new Map(
      nodes.map(({ name, zone }, index) => [name, `127.0.${plan.zones.indexOf(zone) + 1}.1:${7000 + (index % 2)}`]),
    );
    expect(describeTopology(plan, endpoints, "sessions: valkey 9.1")).toEqual([
      "sessions: valkey 9.1, 3 masters, 1 replica each, 3 zones",
      "  shard    slots               master                 replica",
      "  shard-0  0-5460 (5461)       zone-a 127.0.1.1:7000  zone-b 127.0.2.1:7001",
      "  shard-1  5461-10922 (5462)   zone-b 127.0.2.1:7000  zone-c 127.0.3.1:7001",
      "  shard-2  10923-16383 (5461)  zone-c 127.0.3.1:7000  zone-a 127.0.1.1:7001",
      "survives the loss of any one node: reads and writes · any one zone: reads and writes",
    ]);
  });

  test("without addresses or title; a second node of a shard in a zone shows its number; reasons are given", () => {
    expect(describeTopology(place(specOf(3, 1, 1)))).toEqual([
      "sessions: 3 masters, 1 replica each, 1 zone",
      "  shard    slots               master  replica",
      "  shard-0  0-5460 (5461)       zone-a  zone-a-2",
      "  shard-1  5461-10922 (5462)   zone-a  zone-a-2",
      "  shard-2  10923-16383 (5461)  zone-a  zone-a-2",
      "survives the loss of any one node: reads and writes",
      "does not survive the loss of one zone: zone zone-a holds all nodes",
    ]);
    expect(describeTopology(place(specOf(4, 1, 3, { allowReadsWhenDown: true }))).slice(-2)).toEqual([
      "survives the loss of any one node: reads and writes · any one zone: reads",
      "does not survive the loss of one zone for writes: zone zone-a holds 2 of 4 masters, so the rest has no majority: nothing fails over and writes stop; reads go on from the copies that are left (allowReadsWhenDown)",
    ]);
    expect(describeTopology(place(specOf(3, 0, 3)))[0]).toBe("sessions: 3 masters, no replicas, 3 zones");
  });

  test("sixty shards take one line each, aligned, and no line is too long", () => {
    const plan = place(specOf(60, 1, 3));
    const endpoints = new Map(
      plan.shards.flatMap(({ nodes }) => nodes).map(({ name }) => [name, "203.0.113.255:65535"]),
    );
    const lines = describeTopology(plan, endpoints);
    expect(lines).toHaveLength(1 + 1 + 60 + 1);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120);
    expect(new Set(lines.slice(1, 62).map((line) => line.indexOf("zone-"))).size).toBeLessThanOrEqual(2);
  });

  test("the placement of 3+3, 5+10 and 6+6 is pinned: another one would move nodes of clusters that exist", () => {
    const placed = (masters: number, replicas: number): string[] =>
      place(specOf(masters, replicas, 3)).shards.map(({ nodes }) => nodes.map(({ zone }) => zone.at(-1)).join(""));
    expect(placed(3, 1)).toEqual(["ab", "bc", "ca"]);
    expect(placed(6, 1)).toEqual(["ab", "bc", "ca", "ac", "cb", "ba"]);
    expect(placed(5, 2)).toEqual(["abc", "bca", "cab", "acb", "cba"]);
  });
});

describe("moves", () => {
  test("another zone: what goes, what comes, what stays", () => {
    const moves = listMoves(place(specOf(3, 1, 2)), place(specOf(3, 1, 3)));
    const names = (nodes: readonly { name: string }[]): string[] => nodes.map(({ name }) => name);
    expect(names(moves.removed)).toEqual(["sessions-1-zone-a", "sessions-2-zone-b"]);
    expect(names(moves.added)).toEqual(["sessions-1-zone-c", "sessions-2-zone-c"]);
    expect(names(moves.kept)).toEqual([
      "sessions-0-zone-a",
      "sessions-0-zone-b",
      "sessions-1-zone-b",
      "sessions-2-zone-a",
    ]);
  });

  test("a replica more moves nothing", () => {
    const moves = listMoves(place(specOf(3, 1, 3)), place(specOf(3, 2, 3)));
    expect(moves.removed).toEqual([]);
    expect(moves.added.map(({ name }) => name)).toEqual([
      "sessions-0-zone-c",
      "sessions-1-zone-a",
      "sessions-2-zone-b",
    ]);
    expect(moves.kept).toHaveLength(6);
  });
});
