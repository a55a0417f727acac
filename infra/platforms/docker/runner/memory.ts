import type Docker from "dockerode";
import { describeSize } from "../../../../components/spec/sizes";
import { LABELS, type NetworkDeclaration } from "./types";

/** Room that a server needs beside what it holds now: to fork, and for buffers of clients and replicas. */
const NEEDED_SHARE = 0.9;

/**
 * Whether all nodes have room in a lower limit of memory. Containers get it at once, long before `maxmemory` follows, and the kernel
 * would kill a server that holds more.
 * @returns what is in the way, and what to do
 */
export async function tooLittleMemory(
  docker: Docker,
  { owner, nodeMemoryBytes = 0 }: Pick<NetworkDeclaration, "owner" | "nodeMemoryBytes">,
  before: number,
): Promise<string | undefined> {
  const lowered = nodeMemoryBytes > 0 && (before === 0 || nodeMemoryBytes < before);
  if (!lowered) return undefined;
  const running = await docker.listContainers({ filters: { label: [`${LABELS.owner}=${owner}`] } });
  const used = await Promise.all(
    running.map(async ({ Id, Labels }) => ({ name: Labels[LABELS.node] ?? "", bytes: await usedBy(docker, Id) })),
  );
  const large = used.filter(({ bytes }) => bytes > nodeMemoryBytes * NEEDED_SHARE);
  if (large.length === 0) return undefined;
  const named = large.map(({ name, bytes }) => `${name} uses ${describeSize(bytes)}`).sort();
  return `${describeSize(nodeMemoryBytes)} a node is less than they use and need: ${named.join(", ")}. Lower \`maxmemory\` alone in an \`up\` of its own, with a policy that evicts, or scale out, then lower this`;
}

/** Without pages of files, which the kernel takes back by itself. */
async function usedBy(docker: Docker, id: string): Promise<number> {
  const { memory_stats } = await docker.getContainer(id).stats({ stream: false, "one-shot": true });
  const files = memory_stats.stats?.inactive_file ?? memory_stats.stats?.total_inactive_file ?? 0;
  return (memory_stats.usage ?? 0) - files;
}
