import { linkSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

const LOCK = join(tmpdir(), "pulumi-redis-cluster-tests.turn");

/**
 * Whoever takes it is alone among all test processes of this machine, until it calls what this answers with. A first `up` looks
 * for free ports and listens on them seconds later: two at once would choose the same ones.
 */
export async function takeTurn(): Promise<() => void> {
  const own = `${LOCK}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  writeFileSync(own, String(process.pid));
  try {
    while (!take(own)) await setTimeout(50);
  } catch (error) {
    rmSync(own, { force: true });
    throw error;
  }
  return () => {
    rmSync(own, { force: true });
    rmSync(LOCK, { force: true });
  };
}

/** A link, since a file that is made and then written would be empty for others in between. */
function take(own: string): boolean {
  try {
    linkSync(own, LOCK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  try {
    process.kill(Number(readFileSync(LOCK, "utf8")), 0);
  } catch (error) {
    // Its holder is dead, unless somebody else was faster to see that.
    if ((error as NodeJS.ErrnoException).code === "ESRCH" && isOld()) rmSync(LOCK, { force: true });
  }
  return false;
}

function isOld(): boolean {
  try {
    return Date.now() - statSync(LOCK).mtimeMs > 1_000;
  } catch {
    return false;
  }
}
