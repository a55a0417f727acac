/** Clusters whose formation was destroyed in this process: their guards let go. */
const dismantled = new Set<string>();

export function markDismantled(cluster: string): void {
  dismantled.add(cluster);
}

export function isDismantled(cluster: string): boolean {
  return dismantled.has(cluster);
}
