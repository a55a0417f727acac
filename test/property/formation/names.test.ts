import fc from "fast-check";
import { expect, test } from "vitest";
import { endpointSettings } from "../../../components/config/nodeDirectives";
import type { NodeEntry } from "../../../components/formation/clusterNodes";
import { apply } from "../../../components/formation/forecast";
import type { FormationGoal } from "../../../components/formation/goal";
import {
  type AnsweringNode,
  answering,
  type ClusterObservation,
  self,
} from "../../../components/formation/observation";
import { plan } from "../../../components/formation/plan";
import { place } from "../../../components/topology/place";
import { specOf } from "../../unit/topology/support";

const RUNS = process.env.FULL ? 2_000 : 200;
const MASTERS = 3;
const spec = specOf(MASTERS, 0, 3);
const planned = place(spec);
const names = planned.shards.map(({ nodes: [node] }) => node?.name ?? "");
const placeOf = (i: number) => ({ address: `127.0.${i + 1}.1`, port: 7_000 + i, busPort: 17_000 + i });
const endpointOf = (i: number, domain: string) => ({
  ...placeOf(i),
  ...(domain === "" ? {} : { hostname: `${names[i]}.${domain}` }),
});

function goalFor(domain: string): FormationGoal {
  const endpoints = Object.fromEntries(names.map((name, i) => [name, endpointOf(i, domain)]));
  return {
    cluster: spec.name,
    engine: spec.engine,
    plan: planned,
    endpoints,
    settings: {},
    nodeSettings: Object.fromEntries(names.map((name, i) => [name, endpointSettings(endpointOf(i, domain), true)])),
    nodeTimeoutMilliseconds: 5_000,
  };
}

/** Three masters that know each other, all as they were made for this domain. */
function formed(domain: string): ClusterObservation {
  const entries = planned.shards.map(
    ({ slots }, i): NodeEntry => ({
      id: `${i}`.repeat(40),
      ...endpointOf(i, domain),
      role: "master",
      myself: false,
      health: "ok",
      handshake: false,
      noaddr: false,
      configEpoch: i + 1,
      linked: true,
      slots,
      openSlots: [],
    }),
  );
  const nodes = entries.map(
    (own, i): AnsweringNode => ({
      answering: true,
      name: names[i] ?? "",
      endpoint: placeOf(i),
      id: own.id,
      server: { ...spec.engine, clusterEnabled: true },
      view: entries.map((e) => (e === own ? { ...e, myself: true } : e)),
      state: "ok",
      currentEpoch: MASTERS,
      keys: 10,
      memory: { usedBytes: 0, maxBytes: 0 },
      replication: { linkUp: true, syncing: false, offset: 0, lagSeconds: 0 },
      settings: { ...goalFor(domain).nodeSettings?.[names[i] ?? ""] },
    }),
  );
  return { nodes };
}

/** One node's ping arrives at another one. */
function ping(cluster: ClusterObservation, from: number, to: number): ClusterObservation {
  const alive = answering(cluster);
  const sender = alive[from];
  if (!sender) return cluster;
  const { hostname } = self(sender);
  const heard = ({ hostname: _former, ...entry }: NodeEntry) => (hostname ? { ...entry, hostname } : entry);
  return {
    nodes: alive.map((node, i) =>
      i === to ? { ...node, view: node.view.map((e) => (e.id === sender.id ? heard(e) : e)) } : node,
    ),
  };
}

/** Nodes that tell clients "?". */
const clueless = (cluster: ClusterObservation) =>
  answering(cluster).filter(
    (node) =>
      node.settings["cluster-preferred-endpoint-type"] === "hostname" && node.view.some(({ hostname }) => !hostname),
  );

const pings = () =>
  fc.array(
    fc.tuple(fc.nat(MASTERS - 1), fc.nat(MASTERS - 1)).filter(([from, to]) => from !== to),
    { maxLength: 4 },
  );
const round = fc.record({ pings: pings(), carriedOut: fc.array(fc.boolean(), { minLength: 2 * MASTERS }) });
const wish = fc.record({
  domain: fc.constantFrom("", "one.internal", "other.internal"),
  // Fewer than it takes: the run is killed, and another declaration may follow.
  rounds: fc.array(round, { maxLength: 6 }),
});

test("however names come and go, and whatever is killed on the way, no node sends clients to a name that it has not heard", () => {
  fc.assert(
    fc.property(fc.array(wish, { minLength: 1, maxLength: 5 }), (wishes) => {
      let cluster = formed("");
      const history = { verified: true, members: answering(cluster).map(memberOf) };
      const steps = (domain: string) => {
        const next = plan(goalFor(domain), history, cluster);
        return next.kind === "act" ? next.steps : [];
      };
      for (const { domain, rounds } of wishes)
        for (const { pings, carriedOut } of rounds) {
          for (const step of steps(domain).filter((_, i) => carriedOut[i])) {
            cluster = apply(cluster, step);
            expect(clueless(cluster)).toEqual([]);
          }
          for (const [from, to] of pings) {
            cluster = ping(cluster, from, to);
            expect(clueless(cluster)).toEqual([]);
          }
        }
      // Left alone, the last run gets there.
      const domain = wishes.at(-1)?.domain ?? "";
      for (let rounds = 0; plan(goalFor(domain), history, cluster).kind !== "done"; rounds++) {
        expect(rounds).toBeLessThan(8);
        for (const step of steps(domain)) cluster = apply(cluster, step);
        for (let from = 0; from < MASTERS; from++)
          for (let to = 0; to < MASTERS; to++) cluster = ping(cluster, from, to);
      }
      for (const [i, node] of answering(cluster).entries()) {
        expect(node.settings).toEqual(goalFor(domain).nodeSettings?.[names[i] ?? ""]);
        expect(node.view.map(({ hostname }) => hostname)).toEqual(names.map((_, k) => endpointOf(k, domain).hostname));
      }
    }),
    { numRuns: RUNS },
  );
});

function memberOf({ name, id, endpoint }: AnsweringNode) {
  const shard = planned.shards.find(({ nodes }) => nodes.some((n) => n.name === name));
  const [node] = shard?.nodes ?? [];
  return { name, id, endpoint, shard: shard?.name ?? "", zone: node?.zone ?? "", state: "member" as const };
}
