import { describe, expect, test } from "vitest";
import type { NodeEntry, OpenSlot } from "../../../components/formation/clusterNodes";
import type { Member } from "../../../components/formation/goal";
import {
  groupSlots,
  KEYS_AT_ONCE,
  nextGo,
  nextSlots,
  OPEN_AT_ONCE,
  Pace,
} from "../../../components/formation/migratePace";
import { KeyRate } from "../../../components/formation/migrateRate";
import { needsLooking, tooBig } from "../../../components/formation/migrateSizes";
import { wayFor } from "../../../components/formation/migrateWay";
import type { AnsweringNode, ClusterObservation } from "../../../components/formation/observation";
import { finishOpenSlots, type MigrateSlots, nextRound } from "../../../components/formation/rebalance";
import { nameSuccessors, reclaimSlots } from "../../../components/formation/reclaim";
import { expandSlots } from "../../../components/formation/slots";

interface Given {
  readonly name: string;
  readonly slots?: readonly (readonly [number, number])[];
  readonly open?: readonly OpenSlot[];
  readonly of?: string;
}

/** A cluster in which everybody agrees; `views` changes what one node thinks of another's slots. */
function cluster(
  given: readonly Given[],
  views: Readonly<Record<string, Readonly<Record<string, readonly (readonly [number, number])[]>>>> = {},
): ClusterObservation {
  const ranges = (slots: readonly (readonly [number, number])[] = []) => slots.map(([start, end]) => ({ start, end }));
  const endpoint = (i: number) => ({ address: "10.0.0.1", port: 7_000 + i, busPort: 17_000 + i });
  const entryOf = ({ name, slots, open, of }: Given, i: number, by: string): NodeEntry => ({
    id: `id-${name}`,
    ...endpoint(i),
    role: of === undefined ? "master" : "replica",
    ...(of === undefined ? {} : { masterId: `id-${of}` }),
    myself: by === name,
    health: "ok",
    handshake: false,
    noaddr: false,
    configEpoch: i,
    linked: true,
    slots: ranges(views[by]?.[name] ?? slots),
    openSlots: by === name ? (open ?? []) : [],
  });
  return {
    nodes: given.map(
      (node, i): AnsweringNode => ({
        answering: true,
        name: node.name,
        endpoint: endpoint(i),
        id: `id-${node.name}`,
        server: { name: "redis", version: "7.0.15", clusterEnabled: true },
        view: given.map((other, j) => entryOf(other, j, node.name)),
        state: "ok",
        currentEpoch: 9,
        keys: 1,
        memory: { usedBytes: 0, maxBytes: 0 },
        replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
        settings: {},
      }),
    ),
  };
}

const importing = (slot: number, peer: string): OpenSlot => ({ slot, direction: "importing", peerId: `id-${peer}` });
const migrating = (slot: number, peer: string): OpenSlot => ({ slot, direction: "migrating", peerId: `id-${peer}` });
const shardOf = (name: string) => `shard-${name[0]}`;
const finish = (o: ClusterObservation, members: readonly Member[] = []) => finishOpenSlots(o, members, shardOf);
const short = (steps: ReturnType<typeof finish>) =>
  steps.map((s) =>
    "slots" in s
      ? `${s.do} ${s.node}→${"to" in s ? s.to : "owner" in s ? s.owner : ""} ${expandSlots(s.slots)}`
      : `${s.do} ${s.node}`,
  );

describe("slots that were left open", () => {
  test("on both ends, or on one: the move is carried to its end", () => {
    for (const [a, b] of [
      [[migrating(5, "b")], [importing(5, "a")]],
      [[migrating(5, "b")], []],
      [[], [importing(5, "a")]],
    ] as const)
      expect(
        short(
          finish(
            cluster([
              { name: "a", slots: [[0, 9]], open: a },
              { name: "b", slots: [[10, 19]], open: b },
            ]),
          ),
        ),
      ).toEqual(["migrateSlots a→b 5"]);
  });

  test("half closed: the target owns it, and the source's mark is taken back", () => {
    const o = cluster([
      {
        name: "a",
        slots: [
          [0, 4],
          [6, 9],
        ],
        open: [migrating(5, "b")],
      },
      {
        name: "b",
        slots: [
          [5, 5],
          [10, 19],
        ],
      },
    ]);
    expect(short(finish(o))).toEqual(["stabilizeSlots a→ 5"]);
  });

  test("towards a node that is nobody's: taken back", () => {
    expect(
      short(
        finish(
          cluster([
            { name: "a", slots: [[0, 9]], open: [migrating(5, "x")] },
            { name: "b", slots: [[10, 19]] },
          ]),
        ),
      ),
    ).toEqual(["stabilizeSlots a→ 5"]);
  });

  test("the target failed over: whoever leads its shard now gets the rest", () => {
    const o = cluster([
      { name: "a", slots: [[0, 9]], open: [migrating(5, "b1")] },
      { name: "b1", of: "b2" },
      { name: "b2", slots: [[10, 19]] },
    ]);
    expect(short(finish(o))).toEqual(["migrateSlots a→b2 5"]);
  });

  test("the target lost its identity: its shard is known from the members", () => {
    const o = cluster([
      { name: "a", slots: [[0, 9]], open: [migrating(5, "gone")] },
      { name: "b2", slots: [[10, 19]] },
    ]);
    const former: Member = {
      name: "b1",
      shard: "shard-b",
      zone: "z",
      id: "id-gone",
      endpoint: { address: "", port: 0, busPort: 0 },
      state: "stale",
    };
    expect(short(finish(o, [former]))).toEqual(["migrateSlots a→b2 5"]);
  });

  test("the source failed over: the target, which took no news of it, is told first", () => {
    const nodes: Given[] = [
      { name: "a1", of: "a2" },
      { name: "a2", slots: [[0, 9]] },
      { name: "b", slots: [[10, 19]], open: [importing(5, "a1")] },
    ];
    expect(
      short(
        finish(
          cluster(nodes, {
            b: {
              a2: [
                [0, 4],
                [6, 9],
              ],
            },
          }),
        ),
      ),
    ).toEqual(["nameOwner b→a2 5"]);
    expect(short(finish(cluster(nodes)))).toEqual(["migrateSlots a2→b 5"]);
  });

  test("a replica's marks are its master's; of one that its master has not, the replica is told by it", () => {
    const withMaster = (open: Given["open"]) =>
      cluster([
        { name: "a", slots: [[0, 9]], ...(open ? { open } : {}) },
        { name: "b", slots: [[10, 19]] },
        { name: "c", of: "a", open: [migrating(5, "b")] },
      ]);
    expect(short(finish(withMaster([migrating(5, "b")])))).toEqual(["migrateSlots a→b 5"]);
    expect(short(finish(withMaster(undefined)))).toEqual(["stabilizeSlots a→ 5"]);
  });
});

describe("a slot that nobody claims", () => {
  const all: readonly (readonly [number, number])[] = [[0, 16_383]];
  const but5: readonly (readonly [number, number])[] = [
    [0, 4],
    [6, 16_383],
  ];
  test("and that all others give to one master, is claimed by it", () => {
    const o = cluster([{ name: "a", slots: all }, { name: "b" }, { name: "c" }], { a: { a: but5 } });
    expect(reclaimSlots(o, false)).toEqual([
      { do: "nameOwner", node: "a", slots: [{ start: 5, end: 5 }], owner: "a", ownerId: "id-a" },
    ]);
  });
  test("and about which the others differ, is left alone", () => {
    expect(
      reclaimSlots(
        cluster([{ name: "a", slots: all }, { name: "b" }, { name: "c" }], { a: { a: but5 }, c: { a: but5 } }),
        true,
      ),
    ).toEqual([]);
    expect(reclaimSlots(cluster([{ name: "a", slots: but5 }, { name: "b" }]), true)).toEqual([]);
    expect(reclaimSlots(cluster([{ name: "a", slots: all }, { name: "b" }]), true)).toEqual([]);
  });
  test("and that only a node gives to the one that it follows, is claimed by that, unless a member is gone or anybody differs", () => {
    const masters = [
      { name: "a", slots: [[1, 9]] },
      { name: "c", slots: [[10, 99]] },
      { name: "d", slots: [[100, 16_383]] },
    ] as const;
    const views = { b: { a: [[0, 9]] } } as const;
    const follower = cluster([...masters, { name: "b", of: "a" }], views);
    expect(reclaimSlots(follower, true)).toEqual([
      { do: "nameOwner", node: "a", slots: [{ start: 0, end: 0 }], owner: "a", ownerId: "id-a" },
    ]);
    expect(reclaimSlots(follower, false)).toEqual([]);
    expect(reclaimSlots(cluster([...masters, { name: "b", of: "c" }], views), true)).toEqual([]);
    const differing = { ...views, d: { c: [[0, 0]] } } as const;
    expect(reclaimSlots(cluster([...masters, { name: "b", of: "a" }], differing), true)).toEqual([]);
  });

  test("and that others give to a replica of one, as it is on Valkey after a failover of which they heard late, is that one's", () => {
    const masters: Given[] = [
      { name: "a", slots: [[1, 9]] },
      { name: "c", slots: [[10, 99]] },
      { name: "d", slots: [[100, 16_383]] },
    ];
    const lost = { c: { b: [[0, 0]] }, d: { a: [[0, 9]] } } as const;
    expect(reclaimSlots(cluster([...masters, { name: "b", of: "a" }], lost), false)).toEqual([
      { do: "nameOwner", node: "a", slots: [{ start: 0, end: 0 }], owner: "a", ownerId: "id-a" },
    ]);
    // Nobody's yet: the others are told once somebody claims it.
    expect(nameSuccessors(cluster([...masters, { name: "b", of: "a" }], lost))).toEqual([]);
  });
});

describe("a slot that a node takes for a replica's", () => {
  const nodes: Given[] = [
    { name: "a", slots: [[0, 9]] },
    { name: "c", slots: [[10, 99]] },
    { name: "d", slots: [[100, 16_383]] },
    { name: "b", of: "a" },
    { name: "e", of: "d" },
  ];
  test("is its master's: the node is told, a replica by its own master", () => {
    const views = { c: { a: [[1, 9]], b: [[0, 0]] }, e: { a: [[3, 9]], b: [[0, 2]] } } as const;
    expect(nameSuccessors(cluster(nodes, views))).toEqual([
      { do: "nameOwner", node: "c", slots: [{ start: 0, end: 0 }], owner: "a", ownerId: "id-a" },
      { do: "nameOwner", node: "d", slots: [{ start: 0, end: 2 }], owner: "a", ownerId: "id-a" },
    ]);
  });
  test("is left alone where its master does not claim it", () => {
    expect(nameSuccessors(cluster(nodes, { c: { b: [[100, 100]] } }))).toEqual([]);
    expect(nameSuccessors(cluster(nodes))).toEqual([]);
  });
});

describe("a round of moves", () => {
  const m = (node: string, to: string): MigrateSlots => ({
    do: "migrateSlots",
    node,
    nodeId: node,
    to,
    toId: to,
    toEndpoint: { address: "", port: 0, busPort: 0 },
    shard: "",
    slots: [{ start: 0, end: 99 }],
  });
  test("several may give to one; who gives gives to one only, and takes nothing", () => {
    const pairs = (moves: readonly MigrateSlots[]) => nextRound(moves, 10).map((s) => `${s.node}${s.to}`);
    expect(pairs([m("a", "x"), m("b", "x"), m("c", "x"), m("d", "x")])).toEqual(["ax", "bx", "cx"]);
    expect(pairs([m("a", "x"), m("a", "y"), m("b", "y")])).toEqual(["ax", "by"]);
    expect(pairs([m("a", "x"), m("x", "y"), m("b", "a")])).toEqual(["ax"]);
    expect(nextRound([m("a", "x")], 10).map((s) => expandSlots(s.slots).length)).toEqual([10]);
  });
});

describe("how much at once", () => {
  const slots = Array.from({ length: 1_000 }, (_, i) => i);
  test("slots without keys are opened dozens at a time, slots with many keys three, small ones up to a handful of keys", () => {
    expect(groupSlots(slots.slice(0, 150), () => 0).map((g) => g.length)).toEqual([64, 64, 22]);
    expect(
      new Set(
        groupSlots(slots, () => 10_000)
          .slice(0, -1)
          .map((g) => g.length),
      ),
    ).toEqual(new Set([OPEN_AT_ONCE.slots]));
    for (const group of groupSlots(slots, (s) => s % 7))
      expect(group.length <= 3 || group.reduce((sum, s) => sum + (s % 7), 0) <= OPEN_AT_ONCE.fewKeys).toBe(true);
    expect(groupSlots(slots, (s) => s % 7).flat()).toEqual(slots);
  });

  test("a go is whole slots, cut only where one has more keys or bytes than a go may have", () => {
    const sized = (...slots: readonly (readonly number[])[]) =>
      slots.flatMap((own, slot) => own.map((bytes, i) => ({ slot, key: Buffer.from(`${slot}:${i}`), bytes })));
    const goes = (keys: ReturnType<typeof sized>, limits: { keys: number; bytes: number }) => {
      const found: number[] = [];
      for (let at = 0; at < keys.length; at += found.at(-1) ?? 1) found.push(nextGo(keys, at, limits).length);
      return found;
    };
    const ones = (n: number) => new Array<number>(n).fill(1);
    expect(goes(sized(ones(61), ones(61), ones(61)), { keys: 130, bytes: 1_000 })).toEqual([122, 61]);
    // One slot is larger than the limit by little, the other by much.
    expect(goes(sized(ones(25)), { keys: 20, bytes: 1_000 })).toEqual([25]);
    expect(goes(sized(ones(50)), { keys: 20, bytes: 1_000 })).toEqual([20, 20, 10]);
    // A large key cannot be cut, so the small ones of its slot go along, and no others.
    expect(goes(sized([1, 500, 1], [1, 1]), { keys: 20, bytes: 100 })).toEqual([3, 2]);
    // What is left of a slot is a whole one again.
    expect(goes(sized([90, 90, 90]), { keys: 20, bytes: 100 })).toEqual([1, 2]);
  });

  test("the same by counts: whole slots, and of one with more keys only as many as a go may have", () => {
    const open = (...lefts: number[]) => lefts.map((left, slot) => ({ slot, left }));
    const counts = (lefts: readonly number[], most: number) => nextSlots(open(...lefts), most).map(({ keys }) => keys);
    expect(counts([61, 61, 61], 130)).toEqual([61, 61]);
    expect(counts([25, 1], 20)).toEqual([25]);
    expect(counts([50, 1], 20)).toEqual([20]);
    expect(counts([10, 50], 20)).toEqual([10]);
    expect(counts([], 20)).toEqual([]);
  });

  test("the pace shrinks while nodes answer slowly, rests, and grows again", () => {
    const pace = new Pace();
    for (let i = 0; i < 20; i++) pace.moved(pace.keys, 20);
    expect(pace.keys).toBe(KEYS_AT_ONCE.least);
    for (let i = 0; i < 80; i++) pace.moved(pace.keys, 0.5);
    expect(pace.keys).toBe(KEYS_AT_ONCE.most);
    for (let i = 0; i < 20; i++) pace.pinged(30);
    pace.moved(pace.keys, 1);
    expect(pace.keys).toBe(KEYS_AT_ONCE.least);
    expect(pace.restMilliseconds).toBeGreaterThan(0);
    // One slow answer alone is chance.
    for (let i = 0; i < 4; i++) pace.pinged(0.2);
    pace.pinged(50);
    pace.moved(pace.keys, 1);
    expect(pace.restMilliseconds).toBe(0);
  });
});

describe("keys that are too big", () => {
  test("depends on the type and on the node timeout; no server takes more than 512 MiB", () => {
    expect([tooBig("string", 400e6, 15_000), tooBig("string", 400e6, 5_000), tooBig("string", 600e6, 60_000)]).toEqual([
      false,
      true,
      true,
    ]);
    expect([tooBig("hash", 100e6, 15_000), tooBig("hash", 130e6, 15_000)]).toEqual([false, true]);
  });
  test("are looked for where a sample of the keys does not account for the data", () => {
    const samples = Array.from({ length: 200 }, () => 200);
    expect(needsLooking({ bytes: 900_000, keys: 10, samples: [90_000] }, 15_000)).toBe(false);
    expect(needsLooking({ bytes: 50e6, keys: 250_000, samples }, 15_000)).toBe(false);
    expect(needsLooking({ bytes: 150e6, keys: 250_000, samples }, 15_000)).toBe(true);
    expect(needsLooking({ bytes: 50e6, keys: 250_000, samples: [...samples, 20_000] }, 15_000)).toBe(true);
    expect(needsLooking({ bytes: 50e6, keys: 250_000, samples: [] }, 15_000)).toBe(true);
  });
});

describe("the way slots move", () => {
  const step = { node: "a", to: "b" } as MigrateSlots;
  const rate = new KeyRate();
  const way = (a: readonly ["redis" | "valkey", string], b = a, maxKeysPerSecond?: number) =>
    wayFor(step, {
      rate: new KeyRate(maxKeysPerSecond),
      servers: {
        a: { name: a[0], version: a[1], clusterEnabled: true },
        b: { name: b[0], version: b[1], clusterEnabled: true },
      },
    });
  test("atomic where both ends know how, classic with any other pair", () => {
    expect(way(["valkey", "9.1.0"])).toBe("atomicFromSource");
    expect(way(["valkey", "9.1.0"], ["valkey", "8.1.3"])).toBe("classic");
    expect(way(["valkey", "8.1.3"], ["valkey", "9.1.0"])).toBe("classic");
    expect([way(["redis", "7.0.15"]), way(["redis", "8.4.0"]), way(["redis", "9.0.0"])]).toEqual([
      "classic",
      "classic",
      "classic",
    ]);
    expect(wayFor(step, { servers: {}, way: "atomicFromSource", rate })).toBe("atomicFromSource");
    expect(wayFor(step, { servers: {}, rate })).toBe("classic");
  });
  test("classic where a rate is declared, which no server keeps to by itself", () => {
    expect(way(["valkey", "9.1.0"], ["valkey", "9.1.0"], 1_000)).toBe("classic");
  });
});
