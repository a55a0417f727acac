import type { FormationGoal } from "./goal";
import { claims, layoutOf } from "./layout";
import { answering, type ClusterObservation, withoutRetired } from "./observation";
import { countSlots, SLOT_COUNT } from "./slots";
import { knows } from "./standing";

/** One line of where the work stands: `met 6/6 · slots 16384/16384 · replicas 3/3 · ok 6/6`. */
export function progressLine(goal: FormationGoal, observed: ClusterObservation): string {
  const observation = withoutRetired(observed);
  const alive = answering(observation);
  const total = observation.nodes.length;
  const met = alive.filter((node) => alive.every((other) => knows(node, other))).length;
  const layout = layoutOf(goal, observation);
  const replicas = layout.reduce(
    (sum, { replicas }) => sum + replicas.filter((r) => !r.leaving && r.replication.linkUp).length,
    0,
  );
  const planned = layout.reduce((sum, s) => sum + s.planned.nodes.length - 1, 0);
  const parts = [
    ...(alive.length < total ? [`answering ${alive.length}/${total}`] : []),
    `met ${met}/${total}`,
    `slots ${SLOT_COUNT - countSlots(claims(observation).unowned)}/${SLOT_COUNT}`,
    ...(planned > 0 ? [`replicas ${replicas}/${planned}`] : []),
    `ok ${alive.filter((n) => n.state === "ok").length}/${total}`,
  ];
  return parts.join(" · ");
}
