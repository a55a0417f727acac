// Docker for the tests: the daemon that runs, else one of our own, as root on Debian, from PATH or unpacked from the distribution's
// packages into .local/tools. Our own has folders, a socket and a bridge of its own, and takes them away again.

import { existsSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { DEFAULT_HOST, ping } from "./dockerApi.mjs";
import { alive, endDaemon, ensureDockerd, launch, NoDocker, socketIn, unmount } from "./dockerDaemon.mjs";
import { ensureIp } from "./iproute.mjs";
import { run, withLock } from "./servers.mjs";

export { NoDocker } from "./dockerDaemon.mjs";
export { IMAGE_NAMES, serverImages } from "./dockerImages.mjs";

/** The machine's, not a checkout's: a second daemon beside a first one flushes the firewall rules that both need. */
const FOLDER = join(tmpdir(), "redis-cluster-docker");
const STATE = join(FOLDER, "daemon.json");

/**
 * A daemon for this process and its children. Processes that ask at once share one; the last that stops ends it.
 * @param {{ log?: (line: string) => void, host?: string }} [options] `host`: the daemon that is looked for; DOCKER_HOST, else the usual socket
 * @returns {Promise<{ host: string, stop: () => Promise<void> }>}
 */
export async function dockerForTests({ log = () => {}, host = process.env.DOCKER_HOST || DEFAULT_HOST } = {}) {
  const reason = await ping(host).then(
    () => undefined,
    (error) => error.message,
  );
  if (reason === undefined) return { host, stop: async () => {} };
  if (process.env.DOCKER_HOST)
    throw new NoDocker(`DOCKER_HOST: ${reason}; unset it, or start the daemon that it names`);
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    throw new NoDocker(`no Docker daemon answers (${reason}), and only root on Linux can start one; start Docker`);
  await ownFolder();
  let daemon;
  await withLock(join(FOLDER, "lock"), log, async () => {
    const found = await running();
    daemon = found ?? (await start(log));
    await writeFile(STATE, JSON.stringify({ ...daemon, users: [...daemon.users, process.pid] }));
  });
  return { host: `unix://${daemon.socket}`, stop: () => leave(log) };
}

/** The daemon of an earlier asker. One that nobody alive uses is what a killed run left, and goes first. */
async function running() {
  const daemon = await readState();
  if (!daemon) return undefined;
  const users = daemon.users.filter(alive);
  const answers = await ping(`unix://${daemon.socket}`).then(
    () => true,
    () => false,
  );
  if (users.length > 0 && answers) return { ...daemon, users };
  await end(daemon);
  return undefined;
}

async function leave(log) {
  await withLock(join(FOLDER, "lock"), log, async () => {
    const daemon = await readState();
    if (!daemon) return;
    const users = daemon.users.filter((pid) => pid !== process.pid && alive(pid));
    if (users.length > 0) await writeFile(STATE, JSON.stringify({ ...daemon, users }));
    else await end(daemon);
  });
}

async function readState() {
  return existsSync(STATE) ? JSON.parse(await readFile(STATE, "utf8")) : undefined;
}

/** In the folder for everybody's temporary files, so it is looked at twice. */
async function ownFolder() {
  await mkdir(FOLDER, { recursive: true, mode: 0o700 });
  const found = await lstat(FOLDER);
  if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0)
    throw new NoDocker(`${FOLDER} is not root's own folder; remove it`);
}

/** A daemon in this network that nobody told us of: ours would take its rules away. */
async function refuseBesideAnother() {
  const here = await readlink("/proc/self/ns/net");
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    const network = await readlink(`/proc/${pid}/ns/net`).catch(() => "");
    if (name.trim() === "dockerd" && network === here)
      throw new NoDocker(`a dockerd runs already (pid ${pid}), on another socket; set DOCKER_HOST to that`);
  }
}

async function start(log) {
  await refuseBesideAnother();
  const programs = await ensureDockerd({ log });
  const ip = await ensureIp({ log });
  // A socket's path may be 107 bytes long, and the project's folder may not leave that.
  const folder = await mkdtemp(join(tmpdir(), "redis-docker-"));
  const socket = socketIn(folder);
  const env = { ...process.env, PATH: [programs, process.env.PATH].join(delimiter) };
  const daemon = { folder, socket, bridge: `rd${process.pid}`, programs, ip, users: [] };
  daemon.rules = await firewall(env);
  daemon.forward = (await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim();
  try {
    // Not docker0: another daemon of this machine may have that one, running or not.
    await run("ip link add", ip, ["link", "add", daemon.bridge, "type", "bridge"]);
    await run("ip addr add", ip, ["addr", "add", `${await freeNetwork(ip)}.1/24`, "dev", daemon.bridge]);
    await run("ip link set", ip, ["link", "set", daemon.bridge, "up"]);
    const child = launch({ folder, programs, bridge: daemon.bridge });
    daemon.pid = child.pid;
    await writeFile(STATE, JSON.stringify(daemon));
    await child.ready();
    log(`started a Docker daemon for the tests (${socket})`);
    return daemon;
  } catch (error) {
    await end(daemon);
    throw new NoDocker(`dockerd could not be started (${error.message}); start Docker, or install docker.io`);
  }
}

/** Ends it, and takes away what it made: containers, mounts, bridge, firewall rules, folders. */
async function end(daemon) {
  if (daemon.pid && (await isDaemon(daemon))) await endDaemon(daemon);
  await unmount(daemon.folder);
  await run("ip link del", daemon.ip, ["link", "del", daemon.bridge]).catch(() => {});
  const env = { ...process.env, PATH: [daemon.programs, process.env.PATH].join(delimiter) };
  await restoreFirewall(daemon.rules, env);
  await writeFile("/proc/sys/net/ipv4/ip_forward", daemon.forward);
  await rm(daemon.folder, { recursive: true, force: true });
  await rm(STATE, { force: true });
}

/** A pid may be another process's by now. */
async function isDaemon({ pid, folder }) {
  const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return line.includes(folder);
}

/** Rules of the kernel's firewall, to tell those that were there from those that a daemon adds and leaves. */
async function firewall(env) {
  return (await tables(env)).flatMap(({ table, lines }) => lines.map((line) => `${table} ${line}`));
}

async function tables(env) {
  const result = [];
  for (const table of ["filter", "nat"]) {
    const text = await run(`iptables -t ${table} -S`, "iptables", ["-t", table, "-S"], env);
    result.push({ table, lines: text.trim().split("\n") });
  }
  return result;
}

async function restoreFirewall(before, env) {
  const known = new Set(before);
  for (const { table, lines } of await tables(env)) {
    const added = lines.filter((line) => !known.has(`${table} ${line}`));
    const call = (args) => run(`iptables ${args.join(" ")}`, "iptables", ["-t", table, ...args], env);
    // Chains that another daemon had before keep what it made meanwhile: only rules of ours or of new chains go.
    for (const line of added.filter((rule) => rule.startsWith("-A")))
      if (/DOCKER|\brd\d+\b/.test(line)) await call(["-D", ...words(line).slice(1)]).catch(() => {});
    for (const chain of added.flatMap((line) => /^-N (DOCKER\S*)$/.exec(line)?.[1] ?? []))
      await call(["-F", chain])
        .then(() => call(["-X", chain]))
        .catch(() => {});
    for (const policy of before.filter((line) => line.startsWith(`${table} -P FORWARD `)))
      await call(policy.split(" ").slice(1));
  }
}

function words(line) {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]);
}

async function freeNetwork(ip) {
  const used = await run("ip addr", ip, ["-o", "-4", "addr"]);
  for (let third = 200; third < 250; third++) if (!used.includes(` 172.30.${third}.`)) return `172.30.${third}`;
  throw new Error("no network 172.30.200.0/24 to 172.30.249.0/24 is free");
}
