import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { Backend } from "./state";

interface Holder {
  pid: number;
  /** The kernel's start time: a pid alone may be somebody else's by now. */
  started: string;
  user: string;
  host: string;
  since: string;
}

function startTime(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold blanks; the start time is the 22nd field, the 20th after the name.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder): boolean {
  if (holder.host !== os.hostname()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const started = startTime(holder.pid);
  return started === undefined || started === holder.started;
}

/** Takes the stack's lock or says who has it; the returned function gives it back. */
export function lockStack(backend: Backend, stack: string): () => void {
  const file = backend.lockFile(stack);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const holder: Holder = {
    pid: process.pid,
    started: startTime(process.pid) ?? "",
    user: os.userInfo().username,
    host: os.hostname(),
    since: new Date().toISOString(),
  };
  // Written in full first and linked then: a reader never sees an empty lock.
  const draft = `${file}.${process.pid}.tmp`;
  fs.writeFileSync(draft, JSON.stringify(holder));
  try {
    fs.linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Error(describeLock(file));
  } finally {
    fs.rmSync(draft, { force: true });
  }
  return () => fs.rmSync(file, { force: true });
}

function describeLock(file: string): string {
  let held: Holder;
  try {
    held = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return `the stack was locked a moment ago (${file}): try again`;
  }
  const whom = `created by ${held.user}@${held.host} (pid ${held.pid}) at ${held.since}`;
  if (isAlive(held)) {
    return `the stack is currently locked by 1 lock(s). Either wait for the other process to end or delete the lock file with \`cancel\`.\n  ${file}: ${whom}`;
  }
  return (
    "the stack is currently locked by 1 lock(s), but the process that took it is gone: it was killed in the middle of an operation. " +
    `Run \`cancel\` to remove the lock, then run the operation again.\n  ${file}: ${whom}`
  );
}

/** What `cancel` does: removes the lock, whoever holds it, as the CLI does for its file backends. */
export function breakLock(backend: Backend, stack: string): boolean {
  const file = backend.lockFile(stack);
  const locked = fs.existsSync(file);
  fs.rmSync(file, { force: true });
  return locked;
}
