import type { GuardInputs } from "../../../components/formation/runner/guard";
import type { TestCluster } from "../../support/formation";

/** Of the guard before one node of a cluster that was formed by hand. What it knows of the program depends on the cluster's name. */
export function guardInputs(cluster: TestCluster, node: string, more: Partial<GuardInputs> = {}): GuardInputs {
  return {
    cluster: cluster.goal.cluster,
    node,
    endpoint: cluster.endpoint(node),
    peers: [],
    instance: "one",
    dataOnDestroy: "keep",
    replicasPerMaster: 1,
    access: cluster.access,
    ...more,
  };
}
