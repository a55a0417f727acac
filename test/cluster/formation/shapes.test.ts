import { describe, expect, test } from "vitest";
import { type FormationInputs, formationRunner } from "../../../components/formation/runner/formation";
import { callsDuring, monitored, programFor, TestCluster } from "../../support/formation";
import { MODE } from "../../support/modes";
import type { TestServerName } from "../../support/servers";

/** Masters, replicas per master, zones. The README's words for them: `3+3 on 3 zones`. */
const SHAPES: readonly [masters: number, replicas: number, zones: number, server: TestServerName][] = [
  [3, 1, 3, "redis-7.0"],
  [3, 1, 3, "redis-8.0"],
  [3, 1, 3, "valkey-8.1"],
  [3, 1, 3, "valkey-9.1"],
  [3, 0, 3, "redis-7.0"],
  [4, 1, 2, "valkey-9.1"],
  [3, 1, 1, "redis-8.0"],
  [5, 1, 3, "redis-7.0"],
];
const BIG: typeof SHAPES = [
  [5, 2, 3, "redis-7.0"],
  [9, 1, 3, "redis-7.0"],
  [5, 2, 3, "valkey-9.1"],
  [9, 1, 3, "valkey-9.1"],
];

/** What reading sends to a node. MONITOR shows neither CLIENT LIST nor CONFIG nor any change of a cluster; the counters do. */
const SHOWN = [
  MODE.strict ? /^hello 3 AUTH \(redacted\) \(redacted\)$/i : /^hello 3$/i,
  /^client setname pulumi-redis-cluster:(executor|reader):?\S*$/i,
  /^CLIENT ID$/,
  /^CLUSTER (MYID|NODES|INFO)$/,
  /^INFO( \w+)*$/,
  /^DBSIZE$/,
];
const COUNTED = [
  "client|id",
  "client|list",
  "client|setname",
  "cluster|info",
  "cluster|myid",
  "cluster|nodes",
  "config|get",
  "dbsize",
  "hello",
  "info",
  "monitor",
  "ping",
  "replconf",
];
/** The proof through an ordinary client, which a run that was asked for makes: these in addition. It asks for slots in RESP2, and logs in by AUTH there. */
const PROBE = ["cluster|slots", "set", "get", "del", "readonly", ...(MODE.strict ? ["auth"] : [])];

describe.each(process.env.FULL ? [...SHAPES, ...BIG] : SHAPES)(
  "%i masters with %i replicas each on %i zones, %s",
  (masters, replicas, zones, server) => {
    test("form, are covered from every node, and are left alone afterwards", { timeout: 120_000 }, async (context) => {
      const cluster = await TestCluster.start({ program: await programFor(context, server), masters, replicas, zones });
      context.onTestFinished(() => cluster.stop());
      const lines: string[] = [];
      const formed = await cluster.reconcile(undefined, { onProgress: (line) => lines.push(line) });

      for (const name of cluster.names) {
        const { ok, text } = await cluster.check(name);
        expect(
          [
            ok,
            /\[OK\] All nodes agree about slots configuration/.test(text),
            /\[OK\] All 16384 slots covered/.test(text),
          ],
          text,
        ).toEqual([true, true, true]);
      }
      expect(lines.at(-1)).toMatch(
        new RegExp(
          `met ${cluster.names.length}/${cluster.names.length} · slots 16384/16384 .*ok ${cluster.names.length}/`,
        ),
      );
      expect(formed.members.map((m) => m.name)).toEqual([...cluster.names].sort());
      // Leaders where the plan has them, slots as planned, nothing temporary, no key of the proof left.
      formed.layout.forEach(({ planned, leader, slots, replicas: followers }) => {
        expect(leader?.name).toBe(planned.nodes[0]?.name);
        expect(slots).toEqual(planned.slots);
        expect(followers.map((r) => r.name)).toEqual(planned.nodes.slice(1).map((n) => n.name));
      });
      for (const value of await cluster.send(["CONFIG", "GET", "cluster-node-timeout"]))
        expect(JSON.stringify(value)).toContain("5000");
      expect(await cluster.send(["DBSIZE"])).toEqual(cluster.names.map(() => 0));
      const epochs = formed.layout.map(({ leader }) => leader?.view.find((e) => e.myself)?.configEpoch);
      expect(new Set(epochs).size).toBe(masters);

      const again = await callsDuring(cluster, () => cluster.reconcile({ members: formed.members, verified: true }));
      for (const [name, commands] of again)
        expect(
          commands.filter((c) => ![...COUNTED, ...PROBE].includes(c)),
          name,
        ).toEqual([]);

      const inputs: FormationInputs = {
        ...cluster.goal,
        declaration: { defaultsVersion: 1, given: [] },
        access: cluster.access,
      };
      const { outs: outputs } = await formationRunner.create(inputs);
      expect(outputs.members).toEqual(formed.members);
      let counted = new Map<string, string[]>();
      const shown = await monitored(cluster, async () => {
        counted = await callsDuring(cluster, async () => {
          const read = await formationRunner.read?.("sessions", outputs);
          expect(read?.props).toEqual(outputs);
          expect(await formationRunner.diff?.("sessions", outputs, inputs)).toEqual({ changes: false, replaces: [] });
        });
      });
      for (const [name, commands] of counted)
        expect(
          commands.filter((c) => !COUNTED.includes(c)),
          name,
        ).toEqual([]);
      for (const [name, seen] of shown)
        expect(
          seen.filter((line) => !SHOWN.some((allowed) => allowed.test(line)) && !/^info commandstats$/i.test(line)),
          name,
        ).toEqual([]);
    });
  },
);
