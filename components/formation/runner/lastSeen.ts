import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import type { ClusterObservation } from "../observation";

/**
 * The last observation of each cluster, so that preview says what refresh saw. An engine may start one provider process to
 * refresh and another to plan (always, where the configuration changed between them), so the first leaves it for the
 * second in a private file, named after the engine that both answer to. Only texts depend on it.
 */
const seen = new Map<string, ClusterObservation>();
const FRESH_MILLISECONDS = 10 * 60_000;

export function remember(cluster: string, observation: ClusterObservation): void {
  seen.set(cluster, observation);
}

/** As `remember`, for the process that will plan too. */
export function handOver(cluster: string, observation: ClusterObservation): void {
  remember(cluster, observation);
  const file = handover(cluster);
  if (!file) return;
  try {
    writeFileSync(file, JSON.stringify(observation), { mode: 0o600 });
  } catch {
    // A full disk or the like: then the plan is told from the recorded state, and says so.
  }
}

export function lastSeen(cluster: string): ClusterObservation | undefined {
  const file = handover(cluster);
  if (file) {
    try {
      const fresh = Date.now() - statSync(file).mtimeMs < FRESH_MILLISECONDS;
      if (fresh && !seen.has(cluster)) seen.set(cluster, JSON.parse(readFileSync(file, "utf8")) as ClusterObservation);
      rmSync(file, { force: true });
    } catch {
      // Nobody left one.
    }
  }
  return seen.get(cluster);
}

/** Undefined outside of Pulumi's provider process, and where the folder is not ours alone. */
function handover(cluster: string): string | undefined {
  const engine = /:\d+$/.test(process.argv.at(-1) ?? "") ? process.argv.at(-1) : undefined;
  if (!engine || !/[\\/]dynamic-provider/.test(process.argv[1] ?? "")) return undefined;
  const { uid } = userInfo();
  const folder = join(tmpdir(), `pulumi-redis-cluster-${uid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stat = lstatSync(folder);
    if (!stat.isDirectory() || (uid >= 0 && stat.uid !== uid)) return undefined;
  } catch {
    return undefined;
  }
  return join(folder, `${createHash("sha256").update(`${engine}\n${cluster}`).digest("hex").slice(0, 24)}.json`);
}
