// One process of dockerd: its programs, from PATH or unpacked from the distribution's packages into .local/tools; its start and its end.

import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ask, ping } from "./dockerApi.mjs";
import { LOCAL, say } from "./project.mjs";
import { onPath, run } from "./servers.mjs";
import { unpackTools } from "./tools.mjs";

const TOOLS = join(LOCAL, "tools", "docker");
const START_SECONDS = 60;
const END_SECONDS = 30;
/** For what it has to answer at once. */
const API_MILLISECONDS = 5_000;
const LOG_LINES = 3;

/** Thrown where Docker cannot be had; the message says what to do. */
export class NoDocker extends Error {
  name = "NoDocker";
}

export const socketIn = (folder) => join(folder, "docker.sock");

/**
 * Starts a daemon whose data, socket and log are in a folder; with one that was there before, it is that daemon again.
 * @param {{ folder: string, programs: string, bridge: string, within?: string[], options?: string[] }} daemon
 *   `programs`: of `ensureDockerd`. `bridge`: of its default network, or `none`. `within`: a command that runs it elsewhere, as `nsenter`
 * @returns {{ pid: number | undefined, ready: () => Promise<void> }} `ready` throws with its last words where it ends or does not answer in time
 */
export function launch({ folder, programs, bridge, within = [], options = [] }) {
  const out = openSync(join(folder, "log"), "a");
  // Unpacked, the program of that name is a script, and this one runs in containers, where nothing else of it is.
  const init = join(programs, "..", "root", "usr", "bin", "tini-static");
  const places = {
    "--host": `unix://${socketIn(folder)}`,
    "--data-root": join(folder, "data"),
    "--exec-root": join(folder, "exec"),
    "--pidfile": join(folder, "pid"),
    "--bridge": bridge,
    ...(existsSync(init) ? { "--init-path": init } : {}),
  };
  const [program, ...args] = [...within, join(programs, "dockerd"), ...Object.entries(places).flat(), ...options];
  const env = { ...process.env, PATH: [programs, process.env.PATH].join(delimiter) };
  // A session of its own: Ctrl-C in the terminal is for the tests, which then stop it in order.
  const child = spawn(program, args, { env, detached: true, stdio: ["ignore", out, out] });
  closeSync(out);
  let ended;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended ??= `it ended with ${signal ?? `exit code ${code}`}`;
  });
  child.unref();
  const ready = async () => {
    try {
      await untilReady(`unix://${socketIn(folder)}`, () => ended);
    } catch (error) {
      const said = await readFile(join(folder, "log"), "utf8").catch(() => "");
      throw new Error(`${error.message}: ${said.trim().split("\n").slice(-LOG_LINES).join("; ")}`);
    }
  };
  return { pid: child.pid, ready };
}

async function untilReady(host, ended) {
  for (const deadline = Date.now() + START_SECONDS * 1000; ; ) {
    const problem = await ping(host).then(
      () => undefined,
      (error) => error.message,
    );
    if (problem === undefined) return;
    if (ended()) throw new Error(ended());
    if (Date.now() > deadline) throw new Error(`not ready within ${START_SECONDS} s`);
    await delay(100);
  }
}

/**
 * Its containers end with it, at once: left to it, one whose server hangs has as long as it may take to save, and outlives a daemon that is
 * killed meanwhile.
 * @param {{ pid: number, folder: string }} daemon
 */
export async function endDaemon({ pid, folder }) {
  if (!alive(pid)) return;
  await endContainers(`unix://${socketIn(folder)}`).catch((error) => say(`its containers: ${error.message}`));
  process.kill(pid, "SIGTERM");
  let killed = false;
  // Whoever calls removes its folder next, so it is waited for in any case.
  for (const deadline = Date.now() + END_SECONDS * 1000; alive(pid); await delay(100)) {
    if (killed || Date.now() < deadline) continue;
    say(`the Docker daemon (pid ${pid}) has not ended ${END_SECONDS} s after SIGTERM; it is killed`);
    process.kill(pid, "SIGKILL");
    killed = true;
  }
}

async function endContainers(host) {
  const { text } = await ask(host, "GET", "/containers/json", { timeout: API_MILLISECONDS });
  const kill = ({ Id }) => ask(host, "POST", `/containers/${Id}/kill`, { timeout: API_MILLISECONDS });
  await Promise.all(JSON.parse(text).map(kill));
}

/** What a daemon has mounted in its folder and left. */
export async function unmount(folder) {
  const mounts = (await readFile("/proc/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const mount of mounts.filter((path) => path.startsWith(`${folder}/`)).reverse())
    await run(`umount ${mount}`, "umount", ["-l", mount]);
}

export function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** The folder with dockerd and what it starts. */
export async function ensureDockerd({ log = () => {} } = {}) {
  const needed = [
    "dockerd",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "docker-init",
    "docker-proxy",
    "iptables",
  ];
  const installed = onPath("dockerd");
  if (installed && needed.every((name) => onPath(name))) return join(installed, "..");
  try {
    await unpackTools({
      folder: TOOLS,
      packages: ["docker.io", "containerd", "runc", "tini", "iptables"],
      // Not the C library: they run on the system's own, since they start themselves again and a loader before them would be lost.
      keep: /^(docker\.io|containerd|runc|tini|iptables|lib(?!c6_|c-bin|gcc).*)_.*\.deb$/,
      programs: {
        ...Object.fromEntries(
          needed.map((name) => [
            name,
            ["usr/bin", "usr/sbin", "sbin", "usr/libexec/docker"].map((at) => `${at}/${name}`),
          ]),
        ),
        "docker-init": ["usr/bin/tini-static", "usr/libexec/docker/docker-init"],
        iptables: ["usr/sbin/iptables-nft"],
        ip6tables: ["usr/sbin/ip6tables-nft"],
      },
      proof: ["dockerd", "--version"],
      direct: true,
      log,
    });
    return join(TOOLS, "bin");
  } catch (error) {
    throw new NoDocker(
      `there is no dockerd, and docker.io could not be unpacked (${error.message}); install docker.io`,
    );
  }
}
