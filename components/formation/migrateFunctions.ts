import type { NodeEndpoint } from "../config/types";
import type { MigrateSlots } from "./rebalance";
import type { Connections } from "./wire";

/**
 * Functions belong to nodes, not to slots: a master that comes new has none of them. A target that has some is left as it
 * is, since whoever loads functions loads them on every master.
 */
export async function copyFunctions(step: MigrateSlots, source: NodeEndpoint, connections: Connections): Promise<void> {
  const [present] = await connections.send(step.toEndpoint, [["FUNCTION", "LIST"]]);
  if (!present?.ok || !Array.isArray(present.value) || present.value.length > 0) return;
  const [listed] = await connections.send(source, [["FUNCTION", "LIST"]]);
  if (!listed?.ok || !Array.isArray(listed.value) || listed.value.length === 0) return;
  const [dump] = await connections.send(source, [["FUNCTION", "DUMP"]], { binary: true });
  if (!dump?.ok)
    throw new Error(
      `functions of ${step.node} could not be read for ${step.to}: ${dump?.error.message ?? "no answer"}`,
    );
  const [restored] = await connections.send(step.toEndpoint, [["FUNCTION", "RESTORE", dump.value as Buffer, "APPEND"]]);
  if (restored && !restored.ok && !/already exists/i.test(restored.error.message)) {
    throw new Error(`functions could not be copied from ${step.node} to ${step.to}: ${restored.error.message}`);
  }
}
