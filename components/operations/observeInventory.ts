import type { ClusterInventory } from "../cluster/inventory";
import { observe } from "../formation/observe";
import type { Connections } from "../formation/wire";
import { goalOfInventory } from "./goal";
import { reportStatus, type StatusReport } from "./status";

/** Asks every node once and judges the answers. Reads only; never throws for a node that does not answer. */
export async function observeStatus(inventory: ClusterInventory, connections: Connections): Promise<StatusReport> {
  const observation = await observe(goalOfInventory(inventory), connections);
  return reportStatus(inventory, observation, new Date().toISOString());
}
