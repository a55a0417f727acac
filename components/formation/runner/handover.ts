import { createHash } from "node:crypto";
import { appendFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";

const FRESH_MILLISECONDS = 10 * 60_000;

/**
 * An engine may start one provider process to refresh and another to plan (always, where the configuration changed between
 * them). So the first leaves what it learned for the second, a line each, in a private file that is named after the engine
 * which both answer to, and after the stack: where a run was killed, the engine of another stack may get the same port a moment later, and a cluster of
 * the same name may be there. Nothing is kept outside of Pulumi's provider process.
 */
export function leaveForPlanner(cluster: string, topic: string, line: string): void {
  const file = fileFor(cluster, topic);
  if (!file) return;
  try {
    prune(dirname(file));
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

let pruned = false;

/** What no planner took, as after a destroy or a killed run, goes once nobody would take it any more. */
function prune(folder: string): void {
  if (pruned) return;
  pruned = true;
  for (const name of readdirSync(folder).filter((each) => each.endsWith(".jsonl"))) {
    const file = join(folder, name);
    try {
      if (Date.now() - statSync(file).mtimeMs >= FRESH_MILLISECONDS) rmSync(file, { force: true });
    } catch {
      // Another process was quicker.
    }
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
  const { PULUMI_NODEJS_PROJECT: project, PULUMI_NODEJS_STACK: stack } = process.env;
  const whose = JSON.stringify([engine, process.cwd(), project, stack, cluster, topic]);
  const name = createHash("sha256").update(whose).digest("hex").slice(0, 24);
  return join(folder, `${name}.jsonl`);
}
