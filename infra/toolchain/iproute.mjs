// Brings iproute2's `ip`, which tests with network namespaces need: from PATH or where systems keep it, else unpacked from
// the distribution's own package into .local/tools, as the servers are. Nothing is installed in the system.

import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { configureApt, ownSuite, sourcesForSuite } from "./apt.mjs";
import { PROJECT } from "./project.mjs";
import { loaderOf, onPath, run, withLock } from "./servers.mjs";

const FOLDER = join(PROJECT, ".local", "tools", "iproute2");
const SYSTEM = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];

/** Thrown where `ip` cannot be had; the message says what to do. */
export class NoIp extends Error {
  name = "NoIp";
}

/**
 * @param {{ log?: (line: string) => void, installed?: () => string | undefined }} [options] `installed`: for tests
 * @returns {Promise<string>} the path of `ip`
 */
export async function ensureIp({ log = () => {}, installed = () => onPath("ip") ?? SYSTEM.find(existsSync) } = {}) {
  const found = installed();
  if (found) return found;
  const launcher = join(FOLDER, "bin", "ip");
  if (existsSync(launcher)) return launcher;
  if (!onPath("apt-get") || !onPath("dpkg")) throw new NoIp("there is no `ip` here; install iproute2");
  await mkdir(join(PROJECT, ".local", "tools"), { recursive: true });
  await withLock(`${FOLDER}.lock`, log, async () => {
    if (existsSync(launcher)) return;
    log("there is no `ip`: unpacking iproute2 into .local/tools (nothing is installed in the system)");
    await unpack();
  });
  return launcher;
}

async function unpack() {
  const work = `${FOLDER}.${process.pid}.tmp`;
  await rm(work, { recursive: true, force: true });
  try {
    const apt = join(work, "apt");
    const env = await configureApt({ folder: apt, sources: await sourcesForSuite(await ownSuite(), true), run });
    await run("apt-get update", "apt-get", ["update", "-q"], env);
    const download = ["install", "-q", "-y", "--download-only", "--no-install-recommends", "iproute2"];
    await run("apt-get download of iproute2", "apt-get", download, env);
    const root = join(work, "root");
    await mkdir(root);
    const archives = join(apt, "cache", "archives");
    for (const file of (await readdir(archives)).filter((name) => /^(iproute2|lib.*)_.*\.deb$/.test(name)).sort())
      await run(`dpkg -x ${file}`, "dpkg", ["-x", join(archives, file), root]);
    const { loader, path } = await loaderOf(root);
    const program = ["bin/ip", "sbin/ip", "usr/bin/ip", "usr/sbin/ip"].find((file) => existsSync(join(root, file)));
    if (!program) throw new Error("no `ip` in the unpacked packages");
    await mkdir(join(work, "bin"));
    const script = `#!/bin/sh\nr=\${0%/*}/../root\nexec "$r/${loader}" --library-path "${path}" "$r/${program}" "$@"\n`;
    await writeFile(join(work, "bin", "ip"), script, { mode: 0o755 });
    await run("ip -V", join(work, "bin", "ip"), ["-V"]);
    await rm(apt, { recursive: true, force: true });
    await rm(FOLDER, { recursive: true, force: true });
    await rename(work, FOLDER);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw new NoIp(`there is no \`ip\`, and iproute2 could not be unpacked (${error.message}); install iproute2`);
  }
}
