import { describeTopology } from "../topology/describe";
import { topologyOf } from "../topology/hosts";
import type { FormationGoal } from "./goal";
import { answering, type ClusterObservation } from "./observation";
import { outlineChange, outlineNew } from "./outline";
import type { Recognized } from "./recognize";

/**
 * What a reader sees before given hosts come under management: what runs on them, and what will be sent to change it,
 * which is nothing for a cluster that is as it should be.
 * @param goal undefined where they are refused
 */
export function outlineAdoption(
  cluster: string,
  observation: ClusterObservation,
  recognized: Recognized,
  goal: FormationGoal | undefined,
): string[] {
  const total = observation.nodes.length;
  const alive = answering(observation).length;
  const seen = `observed now: ${alive} of ${total} hosts answered`;
  if (alive === 0) {
    const reasons = [...new Set(observation.nodes.flatMap((n) => (n.answering ? [] : [n.reason])))].sort();
    return [
      `${cluster}: none of ${total} hosts answered (${reasons.join("; ")}); what runs on them is found when \`up\` reaches them`,
    ];
  }
  if (recognized.kind === "refused" || !goal) {
    const refusals = recognized.kind === "refused" ? recognized.refusals : [];
    return [
      `${cluster}: the hosts cannot be taken over (${seen})`,
      ...refusals.flatMap((r) => [`  refused: ${r.message}`, `    → ${r.remedy}`]),
    ];
  }
  if (recognized.kind === "blank") return outlineNew(goal);

  const { members, found } = recognized;
  const names = new Set(members.map((m) => m.name));
  // As it was before: without the hosts that are to join, slots and leaders as found.
  const before: FormationGoal = {
    ...goal,
    plan: { ...topologyOf(found, NOTHING_SET), survives: goal.plan.survives },
    endpoints: Object.fromEntries(members.map((m) => [m.name, m.endpoint])),
    given: found.slotShares ? { slotShares: found.slotShares } : {},
  };
  const endpoints = new Map(members.map(({ name, endpoint: e }) => [name, `${e.address}:${e.port}`]));
  const title = `${cluster}: existing cluster (${seen}), ${goal.engine.name} ${goal.engine.version}`;
  const known = new Set(
    answering(observation).flatMap((n) => (names.has(n.name) ? n.view.map((entry) => entry.id) : [])),
  );
  const own = { nodes: observation.nodes.filter((n) => n.answering && known.has(n.id)) };
  const evidence = { observation: own, unfinished: "", recorded: [], recordedAt: "" };
  const steps = outlineChange(before, goal, { members, verified: true }, evidence);
  return [
    ...describeTopology(before.plan, endpoints, title),
    ...(steps.length > 0
      ? steps
      : [
          "steps: none: it is taken over as it is; every node is asked and compared, nothing is sent that changes anything",
          "clients: notice nothing",
        ]),
  ];
}

/** Only for the shards of the cluster as it was found; what it survives is judged with its settings elsewhere. */
const NOTHING_SET = { minReplicasToWrite: 0, requireFullCoverage: false, allowReadsWhenDown: false };
