import { createHash } from "node:crypto";
import { appendFileSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";

const FRESH_MILLISECONDS = 10 * 60_000;

/**
 * An engine may start one provider process to refresh and another to plan (always, where the configuration changed between
 * them). So the first leaves what it learned for the second, a line each, in a private file that is named after the engine
 * which both answer to. Nothing is kept outside of Pulumi's provider process.
 */
export function leaveForPlanner(cluster: string, topic: string, line: string): void {
  const file = fileFor(cluster, topic);
  if (!file) return;
  try {
    appendFileSync(file, `${line}\n`, { mode: 0o600 });
  } catch {
    // A full disk or the like: then the other process knows what is recorded, and no more.
  }
}

/** What was left, and removes it. Empty where nobody left anything. */
export function takeFromReader(cluster: string, topic: string): string[] {
  const file = fileFor(cluster, topic);
  if (!file) return [];
  try {
    const fresh = Date.now() - statSync(file).mtimeMs < FRESH_MILLISECONDS;
    const lines = fresh ? readFileSync(file, "utf8").split("\n").filter(Boolean) : [];
    rmSync(file, { force: true });
    return lines;
  } catch {
    return [];
  }
}

/** Undefined outside of Pulumi's provider process, and where the folder is not ours alone. */
function fileFor(cluster: string, topic: string): string | undefined {
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
  const name = createHash("sha256").update(`${engine}\n${cluster}\n${topic}`).digest("hex").slice(0, 24);
  return join(folder, `${name}.jsonl`);
}
