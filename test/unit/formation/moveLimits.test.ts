import { describe, expect, test } from "vitest";
import { KeyRate, waitWhile } from "../../../components/formation/migrateRate";
import { amountOf, duration, MoveProgress } from "../../../components/formation/moveProgress";
import type { ClusterObservation } from "../../../components/formation/observation";
import { outlineLimits } from "../../../components/formation/outlineMoves";
import { planMoves } from "../../../components/formation/rebalance";
import { formationRunner } from "../../../components/formation/runner/formation";
import { place } from "../../../components/topology/place";
import { specOf } from "../topology/support";

describe("a rate that several share", () => {
  test("turns come as far apart as the keys before them take, whoever asks", () => {
    let now = 1_000;
    const rate = new KeyRate(100, () => now);
    expect([rate.reserve(50), rate.reserve(50), rate.reserve(10)]).toEqual([0, 500, 1_000]);
    now += 1_100;
    expect(rate.reserve(10)).toBe(0);
    // Nothing is saved up while nobody asks.
    now += 60_000;
    expect([rate.reserve(1_000), rate.reserve(1)]).toEqual([0, 10_000]);
  });

  test("what does not go after all is given back; no limit is no wait", () => {
    const rate = new KeyRate(100, () => 0);
    rate.reserve(100);
    expect(rate.reserve(400)).toBe(1_000);
    rate.giveBack(400);
    expect(rate.reserve(1)).toBe(1_000);
    const free = new KeyRate();
    expect([free.reserve(1e9), free.reserve(1)]).toEqual([0, 0]);
  });

  test("waiting ends when there is no reason to wait any longer", async () => {
    let asked = 0;
    expect(await waitWhile(3_600_000, () => ++asked < 3)).toBe(false);
    expect(await waitWhile(1, () => true)).toBe(true);
  });
});

/** Three masters with all slots and a million keys, and a fourth without any. */
const spec = specOf(4, 0, 4);
const topology = place(spec);
const names = topology.shards.flatMap((s) => s.nodes.map((n) => n.name));
const endpoints = Object.fromEntries(
  names.map((name, i) => [name, { address: "10.0.0.1", port: 7_000 + i, busPort: 17_000 + i }]),
);
const goal = {
  cluster: "sessions",
  engine: spec.engine,
  plan: topology,
  endpoints,
  settings: {},
  nodeTimeoutMilliseconds: 5_000,
};
const ranges = [[0, 5_460], [5_461, 10_922], [10_923, 16_383], []] as const;

function observed(keys = 333_333): ClusterObservation {
  const entries = names.map((name, i) => {
    const [start, end] = ranges[i] ?? [];
    return {
      id: `id-${name}`,
      ...(endpoints[name] ?? { address: "", port: 0, busPort: 0 }),
      role: "master" as const,
      myself: false,
      health: "ok" as const,
      handshake: false,
      noaddr: false,
      configEpoch: i,
      linked: true,
      slots: start === undefined || end === undefined ? [] : [{ start, end }],
      openSlots: [],
    };
  });
  return {
    nodes: names.map((name, i) => ({
      answering: true as const,
      name,
      endpoint: endpoints[name] ?? { address: "", port: 0, busPort: 0 },
      id: `id-${name}`,
      server: { ...spec.engine, clusterEnabled: true },
      view: entries.map((e) => ({ ...e, myself: e.id === `id-${name}` })),
      state: "ok" as const,
      currentEpoch: 4,
      keys: i < 3 ? keys : 0,
      memory: { usedBytes: 0, maxBytes: 0 },
      replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
      settings: {},
    })),
  };
}

describe("how far moves have come", () => {
  test("slots, keys, bytes, both rates and the time left", () => {
    const progress = new MoveProgress();
    const round = { slots: 1_024, keys: 62_500, bytes: 62_500 * 128, milliseconds: 2_000 };
    expect(progress.line(goal, observed(), round)).toBe(
      "moved 1,024 of 4,096 slots · 62,500 of 250,000 keys · 7.6mb of 30.5mb · 31,250 keys/s · 3.8mb/s · about 6 s left",
    );
  });

  test("a declared rate makes it longer, and is known before anything has moved", () => {
    const progress = new MoveProgress(100);
    expect(progress.summary(goal, observed())).toBe(
      "no slot moved in this run; left are 4,096 slots with about 250,000 keys, about 42 min",
    );
    progress.line(goal, observed(), { slots: 1_024, keys: 62_500, bytes: 62_500 * 128, milliseconds: 2_000 });
    expect(progress.summary(goal, observed())).toBe(
      "1,024 slots with 62,500 keys moved in this run; left are 4,096 slots with about 250,000 keys (30.5mb), about 42 min",
    );
  });

  test("without keys, slots alone count", () => {
    const line = new MoveProgress().line(goal, observed(0), { slots: 2_048, keys: 0, bytes: 0, milliseconds: 1_000 });
    expect(line).toBe("moved 2,048 of 4,096 slots · 0 of 0 keys · about 1 s left");
  });

  test("what is left is told by pair", () => {
    expect(new MoveProgress().pairsLeft(goal, observed())).toEqual([
      `${names[0]} → ${names[3]}: 1,365 slots, about 83,318 keys`,
      `${names[1]} → ${names[3]}: 1,366 slots, about 83,364 keys`,
      `${names[2]} → ${names[3]}: 1,365 slots, about 83,318 keys`,
    ]);
  });

  test("a duration is what a person plans with", () => {
    expect([0.2, 99, 101, 5_900, 6_001, 90_000].map(duration)).toEqual([
      "1 s",
      "99 s",
      "2 min",
      "99 min",
      "1 h 41 min",
      "25 h 0 min",
    ]);
  });
});

describe("a preview", () => {
  const steps = planMoves(goal, observed());
  test("says what declared bounds mean for its moves", () => {
    expect(amountOf(steps, observed())).toEqual({ slots: 4_096, keys: 250_000 });
    expect(outlineLimits(steps, observed(), { maxKeysPerSecond: 1_000, until: "05:30 Europe/Berlin" })).toEqual([
      "moves: 4,096 slots with about 250,000 keys · no more than 1,000 keys a second, so about 5 min at the least · until 05:30 Europe/Berlin; what has not moved by then stays where it is, `up` ends saying so, and the next one goes on",
    ]);
  });
  test("says nothing where nothing moves, or nothing is bounded", () => {
    expect(outlineLimits([], observed(), { maxKeysPerSecond: 1_000 })).toEqual([]);
    expect(outlineLimits(steps, observed(), {})).toEqual([]);
  });
});

test("a change of the bounds alone changes nothing", async () => {
  const inputs = { ...goal, declaration: { defaultsVersion: 1, given: [] }, access: {} };
  const recorded = { members: [], shards: [], issues: [], unfinished: "", verifiedAt: "2026-01-01T00:00:00.000Z" };
  const olds = { ...inputs, migration: { maxKeysPerSecond: 5 }, ...recorded };
  const diff = (news: object) => formationRunner.diff?.("sessions", olds, { ...inputs, ...news });
  expect(await diff({ migration: { until: "05:30 UTC" } })).toMatchObject({ changes: false });
  expect(await diff({})).toMatchObject({ changes: false });
  expect(await diff({ nodeTimeoutMilliseconds: 6_000 })).toMatchObject({ changes: true });
});
