import type { ClusterInventory } from "../cluster/inventory";
import { observe } from "../formation/observe";
import type { Connections } from "../formation/wire";
import { goalOfInventory } from "./goal";
import { judgeHosts } from "./hosts/judge";
import { lookAtHosts } from "./hosts/look";
import { reportStatus, type StatusReport } from "./status";

/** Asks every node once and judges the answers. Reads only; never throws for a node that does not answer. */
export async function observeStatus(inventory: ClusterInventory, connections: Connections): Promise<StatusReport> {
  const observation = await observe(goalOfInventory(inventory), connections);
  const hosts = judgeHosts(await lookAtHosts(observation.nodes, connections));
  return reportStatus(inventory, observation, new Date().toISOString(), hosts);
}
