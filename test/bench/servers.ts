import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { FormationGoal } from "../../components/formation/goal";
import type { ClusterSpec } from "../../components/spec/spec";
import { place } from "../../components/topology/place";
import { Security } from "../support/security";
import { type RunningServer, type ServerProgram, startServer } from "../support/servers";

/** What every run starts from: the same configuration for all sides. */
export const NODE_TIMEOUT_MILLISECONDS = 5_000;
const AT_ONCE = 10;

/** The machine's own server, as `npm run up` uses it. */
export async function findServer(): Promise<ServerProgram & { readonly cliPath: string }> {
  const { ensureRedisServer } = await toolchain();
  const server = await ensureRedisServer({ log: (line) => process.stderr.write(`${line}\n`) });
  const { cliPath } = server;
  if (cliPath === undefined)
    throw new Error(`there is no redis-cli beside ${server.path}; it is what this measures against`);
  return { ...server, cliPath };
}

/** The repository's own toolchain, seen from compiled code. */
export async function toolchain(): Promise<typeof import("../../infra/toolchain/servers.mjs")> {
  let root = __dirname;
  while (!existsSync(join(root, "package.json"))) root = dirname(root);
  return import(pathToFileURL(join(root, "infra", "toolchain", "servers.mjs")).href);
}

export interface Servers {
  readonly goal: FormationGoal;
  readonly running: readonly RunningServer[];
  /** Absent: open servers without TLS. */
  readonly security: Security | undefined;
  readonly stop: () => Promise<void>;
}

/** Fresh servers for half masters, half replicas, over three loopback addresses; running, and not one cluster yet. */
export async function startServers(program: ServerProgram, nodes: number, tls: boolean): Promise<Servers> {
  const security = tls ? await Security.create() : undefined;
  const engine = { name: program.engine, version: program.version };
  const spec = {
    name: "bench",
    masters: nodes / 2,
    replicasPerMaster: 1,
    zones: ["a", "b", "c"],
    requireFullCoverage: true,
    allowReadsWhenDown: false,
    minReplicasToWrite: 0,
  };
  // Placement looks at nothing else.
  const plan = place(spec as unknown as ClusterSpec);
  const planned = plan.shards.flatMap((shard) => shard.nodes);
  const started = new Map<string, RunningServer>();
  const stop = async () => {
    await Promise.all([...started.values()].map((server) => server.stop("SIGKILL")));
  };
  try {
    for (let at = 0; at < planned.length; at += AT_ONCE) {
      await Promise.all(
        planned.slice(at, at + AT_ONCE).map(async ({ name, zone }) => {
          const address = `127.0.${plan.zones.indexOf(zone) + 1}.1`;
          const secrets = await security?.forNode(name, address, engine);
          const server = await startServer({
            server: program,
            address,
            conf: confOf(address),
            timeoutMilliseconds: 30_000,
            ...(secrets ? { security: secrets } : {}),
          });
          started.set(name, server);
        }),
      );
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const endpoints = Object.fromEntries(
    [...started].map(([name, { address, port }]) => [name, { address, port, busPort: port + 10_000 }]),
  );
  const settings = { "cluster-node-timeout": String(NODE_TIMEOUT_MILLISECONDS) };
  const goal: FormationGoal = {
    cluster: spec.name,
    engine,
    plan,
    endpoints,
    settings,
    nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS,
  };
  return { goal, running: [...started.values()], security, stop };
}

function confOf(address: string): string {
  return [
    "cluster-enabled yes",
    `cluster-node-timeout ${NODE_TIMEOUT_MILLISECONDS}`,
    `cluster-announce-ip ${address}`,
    "cluster-allow-replica-migration no",
    "repl-diskless-sync-delay 0",
    'save ""',
    "appendonly no",
    "",
  ].join("\n");
}
