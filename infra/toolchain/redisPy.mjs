// Brings redis-py, the Python client, for the tests that connect with it: from PyPI into .local/python (ignored by git), by the pip
// of the python3 on PATH. Nothing is installed in the system.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { PROJECT } from "./project.mjs";
import { onPath, withLock } from "./servers.mjs";

const FOLDER = join(PROJECT, ".local", "python", "redis");
const PACKAGE = "redis>=7,<9";
const WAIT_MILLISECONDS = 90_000;

/** Thrown where redis-py cannot be had; the message says what to do. */
export class NoRedisPy extends Error {
  name = "NoRedisPy";
}

/**
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<{ python: string, folder: string, version: string }>} the interpreter, what its PYTHONPATH needs, redis-py's version
 */
export async function ensureRedisPy({ log = () => {} } = {}) {
  const python = onPath("python3");
  if (!python) throw new NoRedisPy("there is no python3 on PATH; install Python 3.9 or newer with pip");
  if (!existsSync(FOLDER)) {
    await mkdir(join(PROJECT, ".local", "python"), { recursive: true });
    await withLock(`${FOLDER}.lock`, log, async () => {
      if (existsSync(FOLDER)) return;
      log(
        "the tests of Python clients need redis-py: installing it into .local/python (nothing is installed in the system)",
      );
      await install(python);
    });
  }
  const { stdout } = await ask(python, ["-c", "import redis; print(redis.__version__)"], { PYTHONPATH: FOLDER });
  return { python, folder: FOLDER, version: stdout.trim() };
}

async function install(python) {
  const work = `${FOLDER}.${process.pid}.tmp`;
  const quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--timeout", "15", "--retries", "2"];
  try {
    await ask(python, ["-m", "pip", "install", ...quiet, "--target", work, PACKAGE]);
    await rename(work, FOLDER);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
}

async function ask(python, args, env = {}) {
  try {
    return await promisify(execFile)(python, args, { env: { ...process.env, ...env }, timeout: WAIT_MILLISECONDS });
  } catch (error) {
    const said = `${error.stderr ?? ""}`.trim().split("\n").slice(-3).join("; ");
    const why = error.killed ? `no end within ${WAIT_MILLISECONDS / 1000} s` : said || error.message;
    throw new NoRedisPy(
      `redis-py could not be had (${python} ${args.slice(0, 3).join(" ")}: ${why}); install Python 3.9 or newer with pip, and let it reach PyPI`,
    );
  }
}
