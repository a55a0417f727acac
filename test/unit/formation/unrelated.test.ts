import { expect, test } from "vitest";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import type { AnsweringNode, NodeObservation } from "../../../components/formation/observation";
import { withoutUnrelated } from "../../../components/formation/observe";

const NAMES = ["member", "first", "second", "third"] as const;
type Name = (typeof NAMES)[number];
const MACHINES = new Set<string>(NAMES.slice(1));
const endpoint = (name: Name) => ({ address: `10.0.0.${NAMES.indexOf(name) + 1}`, port: 6379, busPort: 16_379 });

const entry = (name: Name, handshake = false): NodeEntry => ({
  id: handshake ? `made-up-${name}` : `id-${name}`,
  ...endpoint(name),
  role: "master",
  myself: false,
  health: "ok",
  handshake,
  noaddr: false,
  configEpoch: 0,
  linked: true,
  slots: [],
  openSlots: [],
});

const answers = (name: Name, view: readonly NodeEntry[]): AnsweringNode => ({
  answering: true,
  name,
  endpoint: endpoint(name),
  id: `id-${name}`,
  server: { name: "redis", version: "7.0.15", clusterEnabled: true },
  view: [{ ...entry(name), myself: true }, ...view],
  state: "ok",
  currentEpoch: 1,
  keys: 0,
  memory: { usedBytes: 0, maxBytes: 0 },
  replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
  settings: {},
});
const silent = (name: Name): NodeObservation => ({
  answering: false,
  name,
  endpoint: endpoint(name),
  reason: "connection refused",
});
const kept = (...nodes: NodeObservation[]) => withoutUnrelated(nodes, MACHINES).map((n) => n.name);

test("a machine that nobody of the cluster knows is none of its nodes, whomever else it knows", () => {
  expect(kept(answers("member", []), answers("first", []))).toEqual(["member"]);
  expect(kept(answers("member", []), answers("first", [entry("second")]), answers("second", [entry("first")]))).toEqual(
    ["member"],
  );
  expect(kept(answers("member", [entry("first")]), answers("first", []))).toEqual(["member", "first"]);
});

test("one that was reset is known by its address, if there is nothing on it; another server there is not", () => {
  const member = answers("member", [{ ...entry("first"), id: "id-before" }]);
  expect(kept(member, answers("first", []))).toEqual(["member", "first"]);
  expect(kept(member, { ...answers("first", []), keys: 1 })).toEqual(["member"]);
  expect(kept(member, answers("first", [entry("third")]))).toEqual(["member"]);
});

test("one that does not answer is known by its address, in a handshake too", () => {
  expect(kept(answers("member", []), silent("first"))).toEqual(["member"]);
  expect(kept(answers("member", [entry("first", true)]), silent("first"))).toEqual(["member", "first"]);
});

test("whom a newcomer knows is of the cluster, though its members have no more than a handshake with it", () => {
  const member = answers("member", [entry("first"), entry("second", true), entry("third", true)]);
  const all = [member, answers("third", []), answers("second", [entry("third")]), answers("first", [entry("second")])];
  expect(kept(...all)).toEqual(["member", "third", "second", "first"]);
  expect(kept(...[...all].reverse())).toEqual(["first", "second", "third", "member"]);
});

test("a machine that all have forgotten, and that owns slots which they lack, is of the cluster; one is not of whose slots they name another owner", () => {
  const owns = (name: Name, start: number, end: number, view: readonly NodeEntry[]): AnsweringNode => {
    const node = answers(name, view);
    return { ...node, view: node.view.map((e) => (e.myself ? { ...e, slots: [{ start, end }] } : e)) };
  };
  expect(kept(owns("member", 0, 99, []), owns("first", 100, 16_383, [entry("member")]))).toEqual(["member", "first"]);
  expect(kept(owns("member", 0, 16_383, []), owns("first", 100, 16_383, [entry("member")]))).toEqual(["member"]);
  expect(kept(owns("member", 0, 99, []), owns("first", 100, 16_383, [entry("second")]))).toEqual(["member"]);
  // One slot has another owner: what it says of the others is old too.
  expect(kept(owns("member", 0, 100, []), owns("first", 100, 16_383, [entry("member")]))).toEqual(["member"]);
  // Their owner does not answer, and is named by who does.
  const named = { ...entry("second"), slots: [{ start: 200, end: 300 }] };
  expect(kept(owns("member", 0, 99, [named]), owns("first", 100, 16_383, [entry("member")]))).toEqual(["member"]);
});
