import type { NodeObservation, SilentNode } from "./observation";
import type { Refusal } from "./refusals";

/** An error about the way to all nodes begins like this; one about a node that is not reached by it does not. */
const WAY = /^proxy /;

/** `CertificateRefused`: a server is there, and nobody gets in who could change what it trusts. */
const REFUSES_CERTIFICATES = /^it takes no certificate that is known here/;
const RESTART =
  "the authority that it trusts is over (authorityExpires in inventory.tls), or is not in this state, as where an older one was brought back. Where the newer state cannot be had, end the servers: the next `up` starts them again with what is declared";

/** `SILENT_ONCE_CONNECTED`, without what sends commands. */
const HANGS = /^it takes the connection/;
const LOOK_AT_ITS_HOST =
  "look on its host. Suspended, it is to be resumed. If it answers nobody there either, for a minute, end it (SIGKILL, `docker kill`) and start it again; unless it keeps an append-only file, only once a replica leads in its place, which would otherwise copy what little it comes back with. If it answers there, leave it alone: only the way from here is closed. Otherwise:";

/** Whether it is the way that all nodes share that fails; it says nothing about this one. */
export function isWayThatFails({ reason }: Pick<SilentNode, "reason">): boolean {
  return WAY.test(reason);
}

/** Nodes that do not answer, one by one; where nothing is known but that the way to them fails, that is said once. */
export function silentNodes(nodes: readonly NodeObservation[], subject: string, remedy: string): Refusal[] {
  const silent = nodes.filter((n): n is SilentNode => !n.answering);
  const ways = [...new Set(silent.filter(isWayThatFails).map((n) => n.reason))];
  return [
    ...ways.map((reason): Refusal => {
      const names = silent.filter((n) => n.reason === reason).map((n) => n.name);
      const which = names.length === nodes.length ? `all ${names.length} nodes` : names.join(", ");
      return {
        kind: "silent-node",
        subject,
        message: `${which} cannot be reached: ${reason}`,
        remedy: "nothing is known of nodes that are not reached; open the way to them, and run `up` again",
      };
    }),
    ...silent
      .filter((n) => !isWayThatFails(n))
      .map(
        ({ name, endpoint: { address, port }, reason }): Refusal => ({
          kind: "silent-node",
          subject: name,
          message: `${name} at ${address}:${port} does not answer: ${reason}`,
          remedy: remedyFor(reason, remedy),
        }),
      ),
  ];
}

function remedyFor(reason: string, remedy: string): string {
  if (REFUSES_CERTIFICATES.test(reason)) return RESTART;
  return HANGS.test(reason) ? `${LOOK_AT_ITS_HOST} ${remedy}` : remedy;
}
