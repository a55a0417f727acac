// npm packages from the lock file, and a Node that is new enough.

import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BIN, foreground, hashOf, PROJECT, say, Trouble } from "./project.mjs";

const OLDEST_NODE = [22, 18];
const LOCK = join(PROJECT, "package-lock.json");
const INSTALLED = join(PROJECT, "node_modules", ".package-lock.json");
const STAMP = join(PROJECT, "node_modules", ".toolchain-lock");

/** `npm ci` where packages are missing or the lock file is another one than last time. */
export async function ensurePackages() {
  const wanted = hashOf(readFileSync(LOCK));
  if (existsSync(STAMP) && existsSync(INSTALLED)) {
    if (readFileSync(STAMP, "utf8") === wanted) return;
    // Whoever ran `npm install` has changed lock file and packages together.
  }
  if (existsSync(INSTALLED) && statSync(INSTALLED).mtimeMs >= statSync(LOCK).mtimeMs) {
    writeFileSync(STAMP, wanted);
    return;
  }
  say("Installing npm packages from package-lock.json …");
  const code = await foreground(npm().file, [...npm().args, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    env: process.env,
    // npm's own lines are progress, not this command's output.
    stdio: ["ignore", 2, 2],
  });
  if (code !== 0)
    throw new Trouble("npm ci failed; its messages are above. Without a network, packages must be in npm's cache");
  writeFileSync(STAMP, wanted);
}

/** The npm that started us, else the one beside this Node, else the one on PATH. */
export function npm() {
  const started = process.env.npm_execpath;
  if (started && /npm-cli\.js$/.test(started) && existsSync(started))
    return { file: process.execPath, args: [started] };
  const beside = join(dirname(process.execPath), "npm");
  return { file: existsSync(beside) ? beside : "npm", args: [] };
}

export function nodeIsNewEnough(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
}

/**
 * Runs this command again under the Node that npm brought, where the running one is too old; the system's is not touched.
 * @returns its exit code, or undefined where nothing had to be done
 */
export async function underNewerNode() {
  if (nodeIsNewEnough()) return undefined;
  const node = join(BIN, "node");
  if (!existsSync(node) || process.env.TOOLCHAIN_NODE === node) {
    throw new Trouble(
      `Node ${process.versions.node} is too old, ${OLDEST_NODE.join(".")} or newer is needed, and npm's package "node" did not bring one; install a newer Node`,
    );
  }
  return foreground(node, process.argv.slice(1), { env: { ...process.env, TOOLCHAIN_NODE: node }, cwd: process.cwd() });
}
