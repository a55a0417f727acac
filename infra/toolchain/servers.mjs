// Brings redis-server to this machine without touching it: from PATH where there is one, else unpacked from the
// distribution's own packages into .local/servers/ (ignored by git). No service is installed or started, no sudo is used.
//
// Plain JavaScript without dependencies: it runs before anything is installed, on Node 20 as well.
//
//   node infra/toolchain/servers.mjs          the server that `npm run up` uses, as JSON
//   node infra/toolchain/servers.mjs --all    the four servers that the tests use

import { spawn } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { configureApt, ownSuite, sourcesForSuite } from "./apt.mjs";

/**
 * @typedef {object} Server
 * @property {string} path one executable file that is spawned like redis-server; the process keeps the pid it was given
 * @property {"redis" | "valkey"} engine
 * @property {string} version as the server reports it: "7.0.15"
 * @property {string} [cliPath] redis-cli or valkey-cli of the same version, where there is one
 * @property {string} [checkRdbPath] redis-check-rdb or valkey-check-rdb, where there is one
 * @property {string} [checkAofPath] redis-check-aof or valkey-check-aof, where there is one
 */

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const SERVERS = join(PROJECT, ".local", "servers");
const OLDEST_MAJOR = 7;

/** The versions that the tests ask, and the Debian suite that has each. */
const TEST_SERVERS = {
  "redis-7.0": { engine: "redis", suite: "bookworm" },
  "redis-8.0": { engine: "redis", suite: "trixie" },
  "valkey-8.1": { engine: "valkey", suite: "trixie" },
  "valkey-9.1": { engine: "valkey", suite: "forky" },
};

/** Thrown where a server cannot be had here; the message says what to do. */
export class ServerUnavailable extends Error {
  name = "ServerUnavailable";
}

/**
 * The server for this machine's own clusters: REDIS_SERVER, else PATH, else Debian's package unpacked, else brew.
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<Server>}
 */
export async function ensureRedisServer({ log = () => {} } = {}) {
  const given = process.env.REDIS_SERVER;
  if (given) {
    const path = given.includes("/") ? given : onPath(given);
    const found = path && (await inspect(path));
    if (!found)
      throw new ServerUnavailable(
        `REDIS_SERVER: "${given}" does not answer --version; give the path of a redis-server`,
      );
    if (tooOld(found))
      throw new ServerUnavailable(
        `REDIS_SERVER: "${given}" is version ${found.version}; ${OLDEST_MAJOR}.0 or newer is needed`,
      );
    return found;
  }
  const seen = [];
  for (const name of ["redis-server", "valkey-server"]) {
    const path = onPath(name);
    const found = path && (await inspect(path));
    if (found && !tooOld(found)) return found;
    if (found) seen.push(`${path} is version ${found.version}`);
  }
  const reason =
    seen.length > 0 ? `${seen.join(", ")}, ${OLDEST_MAJOR}.0 or newer is needed` : "there is no redis-server on PATH";
  if (hasApt()) {
    const suite = await ownSuite();
    const server = await unpacked({ engine: "redis", suite, own: true, log, reason });
    if (tooOld(server)) {
      throw new ServerUnavailable(
        `this system's package redis-server is version ${server.version}; install ${OLDEST_MAJOR}.0 or newer and set REDIS_SERVER to its path`,
      );
    }
    return server;
  }
  if (process.platform === "darwin" && onPath("brew")) {
    log(`${reason}; running: brew install redis`);
    await run("brew install redis", "brew", ["install", "redis"]);
    const prefix = (await run("brew --prefix redis", "brew", ["--prefix", "redis"])).trim();
    const found = await inspect(join(prefix, "bin", "redis-server"));
    if (found) return found;
  }
  throw new ServerUnavailable(
    `${reason}; install redis-server or valkey-server ${OLDEST_MAJOR}.0 or newer, or set REDIS_SERVER to its path`,
  );
}

/**
 * The four servers of the tests. Needs a Debian machine, whose own mirror has the other suites too.
 * @param {{ log?: (line: string) => void }} [options]
 * @returns {Promise<Record<"redis-7.0" | "redis-8.0" | "valkey-8.1" | "valkey-9.1", Server>>}
 */
export async function ensureTestServers({ log = () => {} } = {}) {
  const servers = {};
  for (const [name, { engine, suite }] of Object.entries(TEST_SERVERS)) {
    if (!(await complete(engine, suite)) && !hasApt()) {
      throw new ServerUnavailable(
        `the tests' ${name} comes from Debian ${suite}, unpacked by apt-get and dpkg, which this system has not`,
      );
    }
    const server = await unpacked({
      engine,
      suite,
      own: suite === (hasApt() && (await ownSuite())),
      log,
      reason: `the tests need ${name}`,
    });
    if (server.engine !== engine || !`${server.version}.`.startsWith(`${name.split("-")[1]}.`)) {
      throw new ServerUnavailable(
        `Debian ${suite} has ${server.engine} ${server.version} where the tests expect ${name}; correct TEST_SERVERS in infra/toolchain/servers.mjs`,
      );
    }
    servers[name] = server;
  }
  return servers;
}

/** Tells whether another version can be unpacked here. */
function hasApt() {
  return process.platform === "linux" && Boolean(onPath("apt-get") && onPath("dpkg"));
}

function tooOld(server) {
  return Number.parseInt(server.version, 10) < OLDEST_MAJOR;
}

function folderOf(engine, suite) {
  return join(SERVERS, `${engine}-${suite}`);
}

async function complete(engine, suite) {
  return existsSync(join(folderOf(engine, suite), "server.json"));
}

/** Reads what was unpacked earlier, or unpacks it now; one process at a time. */
async function unpacked({ engine, suite, own, log, reason }) {
  const folder = folderOf(engine, suite);
  if (!(await complete(engine, suite))) {
    await mkdir(SERVERS, { recursive: true });
    await withLock(`${folder}.lock`, log, async () => {
      if (await complete(engine, suite)) return;
      log(`${reason}: unpacking ${engine}-server of ${suite} into .local/servers (nothing is installed in the system)`);
      await unpack({ engine, suite, own, folder });
    });
  }
  const { version, files } = JSON.parse(await readFile(join(folder, "server.json"), "utf8"));
  const server = { path: join(folder, files.path), engine, version };
  for (const [key, file] of Object.entries(files)) server[key] = join(folder, file);
  return server;
}

async function unpack({ engine, suite, own, folder }) {
  const work = `${folder}.${process.pid}.tmp`;
  await rm(work, { recursive: true, force: true });
  try {
    const apt = join(work, "apt");
    const env = await configureApt({ folder: apt, sources: await sourcesForSuite(suite, own), run });
    // Lists of its own, so that the machine's may be empty or old, and are not changed by us.
    await run(`apt-get update for ${suite}`, "apt-get", ["update", "-q"], env);
    // The empty dpkg status makes apt bring the C library too: the server then runs beside any base system.
    await run(
      `apt-get download of ${engine}-server from ${suite}`,
      "apt-get",
      ["install", "-q", "-y", "--download-only", "--no-install-recommends", `${engine}-server`],
      env,
    );
    const root = join(work, "root");
    await mkdir(root);
    const archives = join(apt, "cache", "archives");
    for (const file of (await readdir(archives)).filter((name) => name.endsWith(".deb")).sort()) {
      if (NOT_NEEDED.test(file)) continue;
      await run(`dpkg -x ${file}`, "dpkg", ["-x", join(archives, file), root]);
    }
    const files = await writeLaunchers({ work, root, engine });
    const found = await inspect(join(work, files.path));
    if (!found) throw new Error(`the unpacked ${engine}-server of ${suite} does not answer --version`);
    if (found.engine !== engine)
      throw new Error(`the unpacked ${engine}-server of ${suite} calls itself ${found.engine}`);
    await rm(apt, { recursive: true, force: true });
    await writeFile(
      join(work, "server.json"),
      `${JSON.stringify({ version: found.version, suite, files }, null, 2)}\n`,
    );
    await rm(folder, { recursive: true, force: true });
    await rename(work, folder);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw new ServerUnavailable(`could not unpack ${engine}-server of ${suite}: ${error.message}`);
  }
}

/** What the packages' installation scripts want and a server alone does not. */
const NOT_NEEDED =
  /^(perl|debconf|adduser|passwd|login|sysvinit|init-system|lsb-base|procps|dpkg|tar|base-passwd|libpam|libdb5|libdebconf|cdebconf|debianutils|sysuser-helper|util-linux|coreutils|bash|dash|mount|libperl)/;

/** One small script per program, relative to itself: it replaces itself by the suite's own loader, so the pid stays. */
async function writeLaunchers({ work, root, engine }) {
  const { loader, path } = await loaderOf(root);
  await mkdir(join(work, "bin"));
  const programs = { path: "server", cliPath: "cli", checkRdbPath: "check-rdb", checkAofPath: "check-aof" };
  const files = {};
  for (const [key, suffix] of Object.entries(programs)) {
    const name = `${engine}-${suffix}`;
    if (!existsSync(join(root, "usr/bin", name))) continue;
    // argv[0] is the script: the server decides by its name what it is, and restarts itself through it.
    const script = `#!/bin/sh\nr=\${0%/*}/../root\nexec "$r/${loader}" --library-path "${path}" --argv0 "$0" "$r/usr/bin/${name}" "$@"\n`;
    await writeFile(join(work, "bin", name), script, { mode: 0o755 });
    files[key] = `bin/${name}`;
  }
  if (!files.path) throw new Error(`no usr/bin/${engine}-server in the unpacked packages`);
  return files;
}

/** The loader of an unpacked system, relative to its root, and where it finds libraries (`$r` is the root). */
export async function loaderOf(root) {
  const libraries = [];
  let loader;
  for (const base of ["lib", "usr/lib"]) {
    for (const entry of await list(join(root, base))) {
      if (!/-linux-gnu/.test(entry)) continue;
      libraries.push(`${base}/${entry}`);
      const found = (await list(join(root, base, entry))).find((name) => /^ld-linux.*\.so\.\d+$/.test(name));
      if (found && !loader) loader = `${base}/${entry}/${found}`;
    }
  }
  if (!loader) throw new Error("no ld-linux among the unpacked libraries");
  return { loader, path: libraries.map((folder) => `$r/${folder}`).join(":") };
}

async function list(folder) {
  return existsSync(folder) ? (await readdir(folder)).sort() : [];
}

/** Engine and version, as `--version` says; undefined where it says nothing of the kind. */
async function inspect(path) {
  let text;
  try {
    text = await run(`${path} --version`, path, ["--version"]);
  } catch {
    return undefined;
  }
  const match = /^(redis|valkey) server v=(\d+(?:\.\d+)+)/im.exec(text);
  if (!match) return undefined;
  const server = { path, engine: match[1].toLowerCase(), version: match[2] };
  for (const [key, suffix] of [
    ["cliPath", "cli"],
    ["checkRdbPath", "check-rdb"],
    ["checkAofPath", "check-aof"],
  ]) {
    const sibling = [server.engine, "redis"]
      .map((name) => join(dirname(path), `${name}-${suffix}`))
      .find((file) => existsSync(file));
    if (sibling) server[key] = sibling;
  }
  return server;
}

export function onPath(name) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (!folder) continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** Runs one program; the error names the step and ends with what the program said last. */
export function run(step, file, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: { ...process.env, LC_ALL: "C.UTF-8", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let all = "";
    child.stdout.on("data", (data) => {
      out += data;
      all += data;
    });
    child.stderr.on("data", (data) => {
      all += data;
    });
    child.on("error", (error) => reject(new Error(`${step}: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(out);
      const lines = all.trim().split("\n");
      const errors = lines.filter((line) => /^(E|Err|W):?/.test(line));
      reject(
        new Error(
          `${step} failed (${signal ?? `exit code ${code}`}): ${(errors.length > 0 ? errors : lines).slice(-5).join("; ")}`,
        ),
      );
    });
  });
}

/** A folder is made by one process only; its owner's pid tells others whether it still lives. */
export async function withLock(folder, log, work) {
  const deadline = Date.now() + 15 * 60_000;
  for (let told = false; ; ) {
    try {
      await mkdir(folder);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (await abandoned(folder)) {
      await rm(folder, { recursive: true, force: true });
      continue;
    }
    if (Date.now() > deadline)
      throw new ServerUnavailable(`another process holds ${folder} for too long; remove it if none is at work`);
    if (!told) log("another process is unpacking this server; waiting for it");
    told = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  try {
    await writeFile(join(folder, "pid"), String(process.pid));
    await work();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function abandoned(folder) {
  try {
    const pid = Number(await readFile(join(folder, "pid"), "utf8").catch(() => ""));
    // Between making the folder and writing the pid there is a moment without one.
    if (!pid) return Date.now() - (await stat(folder)).mtimeMs > 10_000;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const log = (line) => process.stderr.write(`${line}\n`);
  try {
    const result = process.argv.includes("--all") ? await ensureTestServers({ log }) : await ensureRedisServer({ log });
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof ServerUnavailable ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
