import { assess } from "./assess";
import { unreachedBusPorts } from "./busPorts";
import type { FormationGoal } from "./goal";
import { answering, type ClusterObservation } from "./observation";

/** Likely causes of a formation that does not move, looked for only then: most often a bus port that nobody can reach. */
export async function diagnose(goal: FormationGoal, observation: ClusterObservation): Promise<string[]> {
  const elsewhere = assess(goal, [], observation).filter((f) => f.kind === "other-address");
  if (elsewhere.length > 0) return elsewhere.map((f) => f.message);
  const unreached = await unreachedBusPorts(answering(observation));
  if (unreached.length > 0)
    return [
      ...unreached,
      "where ports are open, check that cluster-announce-ip is right and that all nodes agree about TLS on the bus",
    ];
  return [`see the log of the nodes named above; ${goal.cluster} is left as it is, and \`up\` goes on from here`];
}
