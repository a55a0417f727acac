import type { ClusterObservation } from "../observation";
import { leaveForPlanner, takeFromReader } from "./handover";

/** The last observation of each cluster, so that preview says what refresh saw. Only texts depend on it. */
const seen = new Map<string, ClusterObservation>();

export function remember(cluster: string, observation: ClusterObservation): void {
  seen.set(cluster, observation);
}

/** As `remember`, for the process that will plan too. */
export function handOver(cluster: string, observation: ClusterObservation): void {
  remember(cluster, observation);
  leaveForPlanner(cluster, "observation", observation);
}

export function lastSeen(cluster: string): ClusterObservation | undefined {
  const left = (takeFromReader(cluster, "observation") as ClusterObservation[]).at(-1);
  if (left && !seen.has(cluster)) seen.set(cluster, left);
  return seen.get(cluster);
}
