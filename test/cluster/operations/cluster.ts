import type { ClusterCredentials, ClusterInventory } from "../../../components/cluster/inventory";
import type { FormationGoal } from "../../../components/formation/goal";
import { reconcile } from "../../../components/formation/reconcile";
import { inventoryShards } from "../../../components/formation/runner/formation";
import type { ClusterSpec } from "../../../components/spec/spec";
import { place } from "../../../components/topology/place";
import { MODE } from "../../support/modes";
import { Security } from "../../support/security";
import { type RunningServer, type ServerProgram, startServer } from "../../support/servers";

/** What placement does not look at, as a declaration would say it. */
const SPEC: Omit<ClusterSpec, "name" | "masters" | "replicasPerMaster" | "zones"> = {
  platform: "local",
  engine: { name: "redis", version: "7.0" },
  port: 7000,
  maxmemoryBytes: 0,
  maxmemoryPolicy: "noeviction",
  persistence: { mode: "none", savePoints: [], appendfsync: "no" },
  minReplicasToWrite: 0,
  minReplicasMaxLagSeconds: 10,
  nodeTimeoutMilliseconds: 2_000,
  requireFullCoverage: true,
  allowReadsWhenDown: false,
  replicaValidityFactor: 10,
  redisConfig: {},
  migration: {},
  shardsAtOnce: 1,
  dataOnDestroy: "delete",
};

export interface FormedCluster {
  readonly inventory: ClusterInventory;
  /** As the output of the stack has them. */
  readonly credentials: ClusterCredentials;
  /** By node name. */
  readonly servers: ReadonlyMap<string, RunningServer>;
  readonly stop: () => Promise<void>;
}

/** A cluster of real servers on loopback, one address a zone, formed as `up` forms it; as the mode of this test run speaks. */
export async function formCluster(
  server: ServerProgram,
  shape: { masters: number; replicasPerMaster: number; zones: readonly string[]; nodeTimeoutMilliseconds?: number },
): Promise<FormedCluster> {
  const nodeTimeoutMilliseconds = shape.nodeTimeoutMilliseconds ?? 2_000;
  const name = "ops";
  const plan = place({ ...SPEC, ...shape, name });
  const planned = plan.shards.flatMap((s) => s.nodes);
  const engine = { name: server.engine, version: server.version };
  const security = MODE.strict ? await Security.shared() : undefined;
  const started = await Promise.all(
    planned.map(async (node) => {
      const address = `127.0.${plan.zones.indexOf(node.zone) + 1}.1`;
      // Without it, nodes take 127.0.0.1 for each other's address: that is where loopback connections come from.
      const conf = `cluster-announce-ip ${address}\nrepl-diskless-sync-delay 0\ncluster-enabled yes\ncluster-node-timeout ${nodeTimeoutMilliseconds}\nappendonly no\nsave ""\n`;
      const secrets = await security?.forNode(node.name, address, engine);
      const running = await startServer({ server, address, conf, ...(secrets ? { security: secrets } : {}) });
      return [node.name, running] as const;
    }),
  );
  const servers = new Map(started);
  const stop = async () => {
    await Promise.all([...servers.values()].map((s) => s.stop("SIGKILL")));
  };
  const goal: FormationGoal = {
    cluster: name,
    engine,
    plan,
    endpoints: Object.fromEntries(
      started.map(([node, { address, port }]) => [node, { address, port, busPort: port + 10_000 }]),
    ),
    settings: { "cluster-node-timeout": String(nodeTimeoutMilliseconds) },
    nodeTimeoutMilliseconds,
  };
  try {
    const { layout } = await reconcile(
      goal,
      { members: [], verified: false },
      {
        access: security?.access ?? {},
        onProgress: () => {},
      },
    );
    const inventory: ClusterInventory = {
      version: 1,
      name,
      platform: "local",
      engine,
      zones: [...plan.zones],
      shards: inventoryShards(goal, layout),
      nodeTimeoutMilliseconds,
      survives: plan.survives,
      verifiedAt: "2026-01-01T00:00:00.000Z",
    };
    return { inventory, credentials: security?.credentials ?? { username: "default" }, servers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
