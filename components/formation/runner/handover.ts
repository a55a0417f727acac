import { createHash } from "node:crypto";
import { appendFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const FRESH_MILLISECONDS = 10 * 60_000;

const TOPICS = ["stack", "authority", "observation"] as const;
type Topic = (typeof TOPICS)[number];

/**
 * An engine may start one provider process to refresh and another to plan (always, where the configuration changed between
 * them). So the first leaves what it learned for the second, a line each, in a private file that is named after the engine
 * which both answer to, and after its process: where a run was killed, the engine of another stack may get the same port a
 * moment later, and a cluster of the same name may be there. Nothing is kept outside of Pulumi's provider process.
 */
export function leaveForPlanner(cluster: string, topic: Topic, what: unknown): void {
  const file = fileFor(cluster, topic);
  if (!file) return;
  try {
    // Between two ends of a line: one that a full disk cut off takes nothing of this one with it.
    appendFileSync(file, `\n${JSON.stringify([what])}\n`, { mode: 0o600 });
    prune(dirname(file));
  } catch {
    // A full disk or the like: then the other process knows what is recorded, and no more.
  }
}

/** What was left, and removes it. Empty where nobody left anything. */
export function takeFromReader(cluster: string, topic: Topic): unknown[] {
  const file = fileFor(cluster, topic);
  if (!file) return [];
  try {
    const fresh = Date.now() - statSync(file).mtimeMs < FRESH_MILLISECONDS;
    const lines = fresh ? readFileSync(file, "utf8").split("\n") : [];
    rmSync(file, { force: true });
    return lines.flatMap(whole);
  } catch {
    return [];
  }
}

/** The cluster is destroyed, and nobody will plan. */
export function discardLeft(cluster: string): void {
  for (const topic of TOPICS) takeFromReader(cluster, topic);
}

/** A disk that filled up may have cut a line off. Each is a list, no part of which is one. */
function whole(line: string): unknown[] {
  try {
    return JSON.parse(line);
  } catch {
    return [];
  }
}

let pruned = false;

/** What no planner took, as after a killed run, goes once nobody would take it any more. */
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
function fileFor(cluster: string, topic: Topic): string | undefined {
  const engine = /:\d+$/.test(process.argv.at(-1) ?? "") ? process.argv.at(-1) : undefined;
  if (!engine || !/[\\/]dynamic-provider/.test(process.argv[1] ?? "")) return undefined;
  // Not every user has a name, as in containers that run under any number.
  const uid = process.getuid?.() ?? -1;
  const folder = join(tmpdir(), `pulumi-redis-cluster-${uid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stat = lstatSync(folder);
    if (!stat.isDirectory() || (uid >= 0 && (stat.uid !== uid || (stat.mode & 0o077) !== 0))) return undefined;
    const project = process.env.PULUMI_NODEJS_PROJECT;
    const whose = JSON.stringify([engine, engineProcess(), process.cwd(), project, cluster, topic]);
    const name = createHash("sha256").update(whose).digest("hex").slice(0, 24);
    return join(folder, `${name}.jsonl`);
  } catch {
    return undefined;
  }
}

/** What stands between Pulumi's CLI and what it runs: its plugin's shell, and what starts Node in its own place, as Volta does. */
const BETWEEN = /[\\/](pulumi-resource-pulumi-nodejs|dynamic-provider)/;
const ENGINE = /(^|[\\/])pulumi$/;
/** A program, and what it runs: by itself, or as a script of another one. An engine may have such words further on. */
const FIRST_WORDS = 3;
const MOST_BETWEEN = 8;

/**
 * The process ID of the engine: no variable of a dynamic provider tells its stack (`newProvider` of Pulumi's plugin host sets the
 * project alone). 0 where the system does not show processes as Linux does.
 */
function engineProcess(): number {
  let parent = process.ppid;
  try {
    for (let n = 0; n < MOST_BETWEEN; n++) {
      const words = readFileSync(`/proc/${parent}/cmdline`, "utf8").split("\0").slice(0, FIRST_WORDS);
      if (ENGINE.test(words[0] ?? "") || !words.some((word) => BETWEEN.test(word))) break;
      const status = readFileSync(`/proc/${parent}/status`, "utf8");
      parent = Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1] ?? 0);
    }
    return parent;
  } catch {
    return 0;
  }
}
