import { describe, expect, test } from "vitest";
import { layoutOf } from "../../../components/formation/layout";
import { CheckedLoad, reportLine } from "../../load/load";
import { programFor, type Shape } from "../../support/formation";
import type { TestServerName } from "../../support/servers";
import { ChangingCluster } from "./support";

/** Classic and atomic migration by default; the servers between with FULL. */
const SERVERS: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0", "valkey-9.1"];

const START: Shape = { masters: 3, replicas: 1, zones: 3 };
/** One after the other, on one cluster. */
const CHANGES: readonly (readonly [string, Shape])[] = process.env.FULL
  ? [
      ["3 → 5 masters", { masters: 5, replicas: 1, zones: 3 }],
      ["5 → 4 masters", { masters: 4, replicas: 1, zones: 3 }],
      ["4 → 3 masters", { masters: 3, replicas: 1, zones: 3 }],
      ["1 → 2 replicas", { masters: 3, replicas: 2, zones: 3 }],
      ["2 → 1 replicas", { masters: 3, replicas: 1, zones: 3 }],
      ["3 → 4 zones", { masters: 3, replicas: 1, zones: 4 }],
      ["4 → 3 zones", { masters: 3, replicas: 1, zones: 3 }],
      ["more masters, fewer replicas", { masters: 5, replicas: 0, zones: 3 }],
      ["fewer masters, more replicas", { masters: 3, replicas: 1, zones: 3 }],
    ]
  : [
      ["3 → 5 masters", { masters: 5, replicas: 1, zones: 3 }],
      ["fewer masters, more replicas, another zone", { masters: 3, replicas: 2, zones: 4 }],
      ["2 → 1 replicas, a zone fewer", { masters: 3, replicas: 1, zones: 3 }],
    ];

describe.each(SERVERS)("scaling %s under a load that is checked", (server) => {
  test("loses no key, shows no client an error, and ends even each time", { timeout: 600_000 }, async (context) => {
    const cluster = await ChangingCluster.start(await programFor(context, server), START);
    context.onTestFinished(() => cluster.stop());
    for (const name of await cluster.leaders())
      await cluster.call(
        name,
        "FUNCTION",
        "LOAD",
        "#!lua name=shared\nredis.register_function('mine', function() return 'here' end)",
      );
    const load = await CheckedLoad.start(Object.values(cluster.goal.endpoints), {
      login: cluster.login,
      fields: process.env.FULL ? 100_000 : 5_000,
    });
    context.onTestFinished(() => load.close());
    for (const [name, shape] of CHANGES) {
      const { layout, observation, members } = await load.during(name, () => cluster.become(shape));
      expect([name, await cluster.faults()]).toEqual([name, []]);
      expect(layoutOf(cluster.goal, observation)).toEqual(layout);
      expect([name, members.map((m) => m.name)]).toEqual([name, [...cluster.names].sort()]);
      for (const leader of await cluster.leaders())
        expect([leader, await cluster.call(leader, "FCALL", "mine", 0)]).toEqual([leader, "here"]);
    }
    const report = await load.end();
    console.log(reportLine(`scaling ${server}`, report));
    expect([report.errors, report.wrong]).toEqual([[], []]);
    expect(report.operations).toBeGreaterThan(1_000);
  });
});
