import { describe, expect, test } from "vitest";
import { reportLine } from "../../load/load";
import { MODE } from "../../support/modes";
import type { TestServerName } from "../../support/servers";
import { eventsOf, LoadedProject } from "./support";

interface Scenario {
  readonly name: string;
  readonly server: TestServerName;
  readonly steps: readonly (readonly [step: string, changes: Parameters<LoadedProject["declare"]>[0]])[];
}

const RESTART = { redisConfig: { "tcp-backlog": "129" } };
const LIVE = { redisConfig: { "tcp-backlog": "129", "slowlog-max-len": "77" }, maxmemoryPolicy: "volatile-ttl" };

const SCENARIOS: readonly Scenario[] = process.env.FULL
  ? [
      {
        name: "Redis 7.0: scaled, set, rolled to 8.0",
        server: "redis-7.0",
        steps: [
          ["3 → 5 masters", { masters: 5 }],
          ["5 → 4 masters", { masters: 4 }],
          ["4 → 3 masters", { masters: 3 }],
          ["1 → 2 replicas", { replicasPerMaster: 2 }],
          ["2 → 1 replicas", { replicasPerMaster: 1 }],
          ["a restart-only setting", RESTART],
          ["live settings", LIVE],
          ["Redis 7.0 → 8.0", { engine: "redis-8.0" }],
        ],
      },
      {
        name: "Redis 7.0 to Valkey 8.1 to 9.1, scaled",
        server: "redis-7.0",
        steps: [
          ["Redis 7.0 → Valkey 8.1", { engine: "valkey-8.1" }],
          ["Valkey 8.1 → 9.1", { engine: "valkey-9.1" }],
          ["3 → 5 masters", { masters: 5 }],
          ["5 → 3 masters", { masters: 3 }],
        ],
      },
    ]
  : [
      {
        name: "Valkey 8.1 rolled to 9.1, set, scaled",
        server: "valkey-8.1",
        steps: [
          ["Valkey 8.1 → 9.1", { engine: "valkey-9.1", maxmemoryPolicy: "volatile-ttl" }],
          ["3 → 4 masters", { masters: 4 }],
        ],
      },
    ];

describe("changes by `up`, under a load that is checked", () => {
  // Strictly only, where it is a sample: open, the contract of a platform rolls from a version to the next.
  test.skipIf(!process.env.FULL && !MODE.strict).for(SCENARIOS)(
    "$name: no key lost, no client error",
    { timeout: 1_800_000 },
    async (scenario, context) => {
      const fields = process.env.FULL ? 100_000 : 5_000;
      const loaded = await LoadedProject.start(context, scenario.server, {}, { fields });
      for (const [step, changes] of scenario.steps) await loaded.change(step, changes);
      console.log(reportLine(scenario.name, await loaded.expectUnharmed()));
    },
  );

  test.skipIf(!process.env.FULL)(
    "two shards at once where asked for: never two nodes of one shard, never more than two",
    {
      timeout: 600_000,
    },
    async (context) => {
      const loaded = await LoadedProject.start(context, "redis-7.0", { masters: 5, rolling: { shardsAtOnce: 2 } });
      const shardOf = new Map(
        (await loaded.project.inventory()).shards.flatMap((s) => s.nodes.map((n) => [n.name, s.name] as const)),
      );
      loaded.declare(RESTART);
      expect((await loaded.project.engine.preview()).stdout).toContain(
        "restart in place, up to 2 at a time, of different shards, replicas before leaders",
      );
      const stdout = await loaded.change("10 nodes, two shards at once", RESTART);
      // A node is away from the beginning of its guard's deletion to the end of its guard's creation.
      const away = new Set<string>();
      const rolled = new Set<string>();
      let most = 0;
      for (const { kind, node, event } of eventsOf(stdout)) {
        if (kind === "NodeGuard" && event === "deleting") away.add(node);
        if (kind === "NodeGuard" && event === "created") {
          away.delete(node);
          rolled.add(node);
        }
        most = Math.max(most, away.size);
        expect(new Set([...away].map((n) => shardOf.get(n))).size).toBe(away.size);
      }
      expect([most, away.size, rolled.size]).toEqual([2, 0, 10]);
      console.log(reportLine("two shards at once", await loaded.expectUnharmed()));
    },
  );
});
