import { assess } from "./assess";
import { unreachedBusPorts } from "./busPorts";
import type { FormationGoal } from "./goal";
import { answering, type ClusterObservation, self } from "./observation";
import type { Connections } from "./wire";

/** Likely causes of a formation that does not move, looked for only then, the most likely first: several may hold at once. */
export async function diagnose(
  goal: FormationGoal,
  observation: ClusterObservation,
  connections: Pick<Connections, "tryPort">,
): Promise<string[]> {
  const elsewhere = assess(goal, [], observation).filter((f) => f.kind === "other-address");
  const holding = answering(observation).filter((n) => {
    const own = self(n);
    return n.keys > 0 && own.role === "master" && own.slots.length === 0 && n.view.length > 1;
  });
  const unreached = await unreachedBusPorts(answering(observation), connections);
  const causes = [
    ...elsewhere.map((f) => f.message),
    ...holding.map(
      (n) =>
        `${n.name} holds ${n.keys} keys and owns no slot. They may be writes that no other node has, and following its shard's leader would drop them: copy what is missing there, then FLUSHALL on ${n.name} and run \`up\` again`,
    ),
    ...unreached,
    ...(unreached.length > 0
      ? ["where ports are open, check that cluster-announce-ip is right and that all nodes agree about TLS on the bus"]
      : []),
  ];
  if (causes.length > 0) return causes;
  return [`see the log of the nodes named above; ${goal.cluster} is left as it is, and \`up\` goes on from here`];
}
