import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { isAlive, type ProcessName, startTime } from "../../infra/platforms/local/runner/processes";

/** One for each user, who may not look at the processes of others, nor remove their files. */
const LOCK = join(tmpdir(), `pulumi-redis-cluster-tests.${userInfo().username}.turn`);
const SAY_AFTER_MILLISECONDS = 60_000;

interface Holder extends ProcessName {
  /** Of this turn alone: a process takes many. */
  readonly token: string;
}

/**
 * Whoever takes it is alone among all test processes of this user, until it calls what this answers with. A first `up` looks
 * for free ports and listens on them seconds later: two at once would choose the same ones.
 */
export async function takeTurn(lock = LOCK): Promise<() => void> {
  const token = randomUUID();
  const own = `${lock}.${token}.new`;
  writeFileSync(own, JSON.stringify({ pid: process.pid, startTime: startTime(process.pid), token }));
  try {
    const begun = Date.now();
    for (let told = false; !take(own, lock); await setTimeout(50)) {
      if (told || Date.now() - begun < SAY_AFTER_MILLISECONDS) continue;
      told = true;
      process.stderr.write(`waiting for process ${read(lock)?.pid}, which has its turn by ${lock}\n`);
    }
  } finally {
    rmSync(own, { force: true });
  }
  return () => {
    if (read(lock)?.token === token) rmSync(lock, { force: true });
  };
}

/**
 * A link, since a file that is made and then written would be empty for others in between. Of a dead holder there is one heir:
 * who has the lock that is named after the dead one's token, taken in this same way. Nobody else replaces what the dead one left.
 */
function take(own: string, lock: string): boolean {
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const holder = read(lock);
  if (!holder || isAlive(holder)) return false;
  const heir = `${lock}.${holder.token}`;
  if (!take(own, heir)) return false;
  // Another heir may have come and gone since the look.
  const isLeft = read(lock)?.token === holder.token;
  if (isLeft) renameSync(heir, lock);
  else rmSync(heir);
  return isLeft;
}

function read(lock: string): Holder | undefined {
  let text: string;
  try {
    text = readFileSync(lock, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Holder;
  } catch {
    throw new Error(`${lock} is no lock of these tests: remove it`);
  }
}
