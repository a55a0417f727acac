import { connect } from "node:net";
import type { FormationGoal } from "../../components/formation/goal";
import { keySlot } from "../../components/spec/keySlot";
import type { ClusterSpec } from "../../components/spec/spec";
import { place } from "../../components/topology/place";
import { type RunningServer, type ServerProgram, startServer } from "../support/servers";
import { contentOf, keyOf } from "./migrationClient";
import { NODE_TIMEOUT_MILLISECONDS } from "./servers";

const LOADED_AT_ONCE = 1_000;
const STARTED_AT_ONCE = 8;

/** Servers for so many masters over three loopback addresses; running, and not one cluster yet. */
export async function startMasters(program: ServerProgram, count: number): Promise<RunningServer[]> {
  const servers: RunningServer[] = [];
  try {
    for (let at = 0; at < count; at += STARTED_AT_ONCE) {
      const part = Array.from(
        { length: Math.min(STARTED_AT_ONCE, count - at) },
        (_, i) => `127.0.${((at + i) % 3) + 1}.1`,
      );
      const started = await Promise.allSettled(
        part.map((address) =>
          startServer({ server: program, address, conf: confOf(address), timeoutMilliseconds: 60_000 }),
        ),
      );
      servers.push(...started.flatMap((s) => (s.status === "fulfilled" ? [s.value] : [])));
      const failed = started.find((s) => s.status === "rejected");
      if (failed) throw failed.reason;
    }
    return servers;
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop("SIGKILL")));
    throw error;
  }
}

const confOf = (address: string) =>
  [
    "cluster-enabled yes",
    `cluster-node-timeout ${NODE_TIMEOUT_MILLISECONDS}`,
    `cluster-announce-ip ${address}`,
    'save ""',
    "appendonly no",
    "",
  ].join("\n");

/** A master on each of these servers, no replicas. */
export function goalOf(program: ServerProgram, servers: readonly RunningServer[]): FormationGoal {
  const spec = { name: "bench", masters: servers.length, replicasPerMaster: 0, zones: ["a", "b", "c"] };
  // Placement looks at nothing else.
  const plan = place({
    ...spec,
    minReplicasToWrite: 0,
    requireFullCoverage: true,
    allowReadsWhenDown: false,
  } as unknown as ClusterSpec);
  const endpoints = Object.fromEntries(
    plan.shards.flatMap(({ nodes }, i) => {
      const server = servers[i];
      const [node] = nodes;
      return server && node
        ? [[node.name, { address: server.address, port: server.port, busPort: server.port + 10_000 }] as const]
        : [];
    }),
  );
  return {
    cluster: spec.name,
    engine: { name: program.engine, version: program.version },
    plan,
    endpoints,
    settings: { "cluster-node-timeout": String(NODE_TIMEOUT_MILLISECONDS) },
    nodeTimeoutMilliseconds: NODE_TIMEOUT_MILLISECONDS,
  };
}

/** The servers from `first` on become members without slots: where `redis-cli --cluster rebalance` starts from. */
export async function joinByHand(servers: readonly RunningServer[], first: number): Promise<void> {
  const [known] = servers;
  if (!known) throw new Error("there are no servers");
  const clients = servers.map((server) => server.connect());
  try {
    const ids = await Promise.all(clients.map((client) => client.cluster("MYID")));
    await Promise.all(clients.slice(first).map((client) => client.call("CLUSTER", "MEET", known.address, known.port)));
    const knows = async () =>
      (await Promise.all(clients.map((client) => client.call("CLUSTER", "NODES")))).every(
        (view) => ids.every((id) => String(view).includes(id)) && !String(view).includes("handshake"),
      );
    while (!(await knows())) await new Promise((resolve) => setTimeout(resolve, 50));
  } finally {
    for (const client of clients) client.disconnect();
  }
}

export function keysOf(servers: readonly RunningServer[]): Promise<number[]> {
  return Promise.all(servers.map((server) => server.connect().dbsize()));
}

/** Written straight to the owners, without a client library: a million keys in seconds. */
export async function load(goal: FormationGoal, servers: readonly RunningServer[], keys: number): Promise<void> {
  const owners = new Uint8Array(16_384);
  goal.plan.shards.forEach(({ slots }, i) => {
    for (const { start, end } of slots) owners.fill(i, start, end + 1);
  });
  const sockets = servers
    .slice(0, goal.plan.shards.length)
    .map(({ address, port }) => connect({ host: address, port }));
  const answered = sockets.map(() => 0);
  const sent = sockets.map(() => 0);
  for (const [i, socket] of sockets.entries()) {
    socket.on("data", (data) => {
      for (const byte of data) if (byte === 10) answered[i] = (answered[i] ?? 0) + 1;
    });
  }
  for (let at = 0; at < keys; at += LOADED_AT_ONCE) {
    const texts = sockets.map(() => [] as string[]);
    for (let i = at; i < Math.min(keys, at + LOADED_AT_ONCE); i++) {
      const key = keyOf(i);
      const owner = owners[keySlot(key)] ?? 0;
      texts[owner]?.push(`*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$100\r\n${contentOf(i)}\r\n`);
      sent[owner] = (sent[owner] ?? 0) + 1;
    }
    for (const [i, socket] of sockets.entries()) {
      const text = (texts[i] ?? []).join("");
      if (text !== "" && !socket.write(text)) await new Promise((resolve) => socket.once("drain", resolve));
    }
  }
  while (sent.some((n, i) => (answered[i] ?? 0) < n)) await new Promise((resolve) => setTimeout(resolve, 10));
  for (const socket of sockets) socket.destroy();
}
