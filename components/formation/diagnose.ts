import { connect } from "node:net";
import { assess } from "./assess";
import type { FormationGoal } from "./goal";
import { answering, type ClusterObservation } from "./observation";
import type { Refusal } from "./refusals";
import { knows } from "./standing";

const PROBE_MILLISECONDS = 1_500;
/** Before anything is changed, only a refusal counts; a firewall that keeps silent may keep out this machine alone. */
const PREFLIGHT_MILLISECONDS = 300;

/** Bus ports where the node's own machine says that nobody listens. */
export async function closedBusPorts(observation: ClusterObservation): Promise<Refusal[]> {
  const found = await Promise.all(
    answering(observation).map(async ({ name, endpoint: { address, busPort } }): Promise<Refusal[]> => {
      if ((await tryConnect(address, busPort, PREFLIGHT_MILLISECONDS)) !== "ECONNREFUSED") return [];
      const message = `bus port ${busPort} of ${name} at ${address} refuses connections`;
      return [
        {
          kind: "bus-port",
          subject: name,
          message,
          remedy: "open it between all nodes, for TCP, in both directions, and check the node's cluster-port and bind",
        },
      ];
    }),
  );
  return found.flat();
}

/** Likely causes of a formation that does not move, looked for only then: most often a bus port that nobody can reach. */
export async function diagnose(goal: FormationGoal, observation: ClusterObservation): Promise<string[]> {
  const alive = answering(observation);
  const elsewhere = assess(goal, [], observation).filter((f) => f.kind === "other-address");
  if (elsewhere.length > 0) return elsewhere.map((f) => f.message);
  const apart = alive.filter((node) => alive.some((other) => !knows(node, other)));
  const causes = await Promise.all(
    apart.map(async (node) => {
      const { address, busPort } = node.endpoint;
      const problem = await tryConnect(address, busPort);
      return (
        problem &&
        `bus port ${busPort} of ${node.name} at ${address} cannot be reached from here (${problem}): open it between all nodes, for TCP, in both directions`
      );
    }),
  );
  const found = causes.flatMap((c) => c ?? []);
  if (found.length > 0) return found;
  if (apart.length > 0) {
    const example = apart[0];
    return [
      `bus ports answer from here, so the nodes themselves do not reach each other: check that each can connect to the others' addresses and bus ports (${example?.endpoint.address}:${example?.endpoint.busPort} and so on), and that cluster-announce-ip and TLS on the bus agree`,
    ];
  }
  return [`see the log of the nodes named above; ${goal.cluster} is left as it is, and \`up\` goes on from here`];
}

function tryConnect(host: string, port: number, patience = PROBE_MILLISECONDS): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (problem?: string) => {
      socket.destroy();
      resolve(problem);
    };
    socket.setTimeout(patience, () => end("no answer"));
    socket.once("connect", () => end());
    socket.once("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
