import { setTimeout } from "node:timers/promises";
import { parseClusterNodes } from "./clusterNodes";
import { type AnsweringNode, answering, type ClusterObservation } from "./observation";
import type { Refusal } from "./refusals";
import { knows } from "./standing";
import type { Connections } from "./wire";

const PROBE_MILLISECONDS = 1_500;
const PREFLIGHT_MILLISECONDS = 300;
/** Redis gives a handshake the node timeout, but at least this. */
const SHORTEST_HANDSHAKE_MILLISECONDS = 1_000;
const OPEN_IT = "open it between all nodes, for TCP, in both directions";

/**
 * Bus ports that the other nodes cannot reach, looked for before anything is changed. A refused connection is the word of
 * the node's own machine that nobody listens. Silence may keep out this machine alone: where every port keeps silent
 * nothing follows from it, and where only some do, a node that answers is told to meet each of them. What a MEET
 * that fails leaves behind is a handshake, which ends by itself.
 *
 * @returns the refusals, and whether nodes were told to meet: they may know each other now
 */
export async function unreachableBusPorts(
  observation: ClusterObservation,
  connections: Connections,
  nodeTimeoutMilliseconds: number,
): Promise<{ readonly refusals: readonly Refusal[]; readonly met: boolean }> {
  const tried = await Promise.all(
    answering(observation).map(async (node) => {
      const { address, busPort } = node.endpoint;
      return { node, problem: await connections.tryPort(address, busPort, PREFLIGHT_MILLISECONDS) };
    }),
  );
  const closed = tried.filter(({ problem }) => problem === "ECONNREFUSED").map(({ node }) => node);
  if (closed.length > 0)
    return {
      refusals: closed.map((node) =>
        refusal(node, "refuses connections", `${OPEN_IT}, and check the node's cluster-port and bind`),
      ),
      met: false,
    };
  const silent = tried.filter(({ problem }) => problem !== undefined);
  const open = tried.filter(({ problem }) => problem === undefined).map(({ node }) => node);
  if (silent.length === 0 || open.length === 0) return { refusals: [], met: false };
  const limit = Math.max(nodeTimeoutMilliseconds, SHORTEST_HANDSHAKE_MILLISECONDS) + PROBE_MILLISECONDS;
  const found = await Promise.all(
    silent.map(async ({ node, problem }, i): Promise<Refusal[]> => {
      const asker = open[i % open.length];
      if (!asker || (await meets(asker, node, connections, limit))) return [];
      return [refusal(node, `cannot be reached: from here ${problem}, and ${asker.name} has tried in vain`, OPEN_IT)];
    }),
  );
  return { refusals: found.flat(), met: true };
}

function refusal({ name, endpoint: { address, busPort } }: AnsweringNode, what: string, remedy: string): Refusal {
  return { kind: "bus-port", subject: name, message: `bus port ${busPort} of ${name} at ${address} ${what}`, remedy };
}

/** A node knows another one as soon as that one's bus port has answered it; an entry that fails vanishes. */
async function meets(asker: AnsweringNode, node: AnsweringNode, connections: Connections, limit: number) {
  if (knows(asker, node)) return true;
  const { address, port, busPort } = node.endpoint;
  await connections.send(asker.endpoint, [["CLUSTER", "MEET", address, port, busPort]]);
  for (const end = Date.now() + limit; Date.now() < end; await setTimeout(20)) {
    const [view] = await connections.send(asker.endpoint, [["CLUSTER", "NODES"]]);
    if (!view?.ok) continue;
    const entries = parseClusterNodes(String(view.value));
    if (entries.some((e) => e.id === node.id && !e.handshake)) return true;
    if (!entries.some((e) => e.handshake && e.address === address && e.port === port)) return false;
  }
  return false;
}

/**
 * Bus ports that nodes do not reach, from what the nodes themselves know: a node knows another one only after its own
 * connection to that one's bus port was answered, so that every direction shows for itself.
 */
export async function unreachedBusPorts(
  alive: readonly AnsweringNode[],
  connections: Pick<Connections, "tryPort">,
): Promise<string[]> {
  const unreached = alive.flatMap((from) =>
    alive.filter((to) => to !== from && !reaches(from, to)).map((to) => ({ from, to })),
  );
  if (unreached.length === 0) return [];
  const others = alive.length - 1;
  const lines: string[] = [];
  const isolated = alive.filter((node) => unreached.filter(({ to }) => to === node).length === others);
  for (const node of isolated) {
    const problem = await connections.tryPort(node.endpoint.address, node.endpoint.busPort, PROBE_MILLISECONDS);
    const here = problem === undefined ? "it answers from here" : `from here: ${problem}`;
    lines.push(`bus port ${at(node)} cannot be reached by any other node (${here}): ${OPEN_IT}`);
  }
  const left = unreached.filter(({ to }) => !isolated.includes(to));
  const cutOff = alive.filter(
    (node) => left.filter(({ from }) => from === node).length === others - countOf(isolated, node),
  );
  for (const node of cutOff) {
    const ports = left.filter(({ from }) => from === node).map(({ to }) => at(to));
    if (ports.length === 0) continue;
    lines.push(`${node.name} reaches no other node's bus port (${listed(ports)}): let it connect to them`);
  }
  for (const { from, to } of left.filter((pair) => !cutOff.includes(pair.from)).slice(0, 6))
    lines.push(`${from.name} does not reach bus port ${at(to)}: ${OPEN_IT}`);
  return lines;
}

const countOf = (isolated: readonly AnsweringNode[], node: AnsweringNode) => isolated.filter((n) => n !== node).length;

const at = ({ name, endpoint: { address, busPort } }: AnsweringNode) => `${busPort} of ${name} at ${address}`;

function listed(ports: readonly string[]): string {
  return ports.length > 3 ? `${ports.slice(0, 3).join(", ")}, and ${ports.length - 3} more` : ports.join(", ");
}

function reaches(from: AnsweringNode, to: AnsweringNode): boolean {
  return from.view.some((e) => e.id === to.id && !e.handshake && e.linked);
}
