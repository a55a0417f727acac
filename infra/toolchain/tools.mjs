// Unpacks a distribution's own package into .local/tools, so that a test has a program that this machine has not. Nothing is
// installed in the system.

import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { configureApt, ownSuite, sourcesForSuite } from "./apt.mjs";
import { loaderOf, onPath, run, withLock } from "./servers.mjs";

/**
 * @param {object} options
 * @param {string} options.folder where it goes
 * @param {readonly string[]} options.packages what is downloaded, with all they need
 * @param {RegExp} options.keep names of package files that are unpacked
 * @param {Record<string, readonly string[]>} options.programs name of a launcher, and where its program may be in the packages
 * @param {Record<string, readonly string[]>} [options.optional] the same, of programs that not every version has
 * @param {boolean} [options.direct] on the system's own C library, for programs that start themselves again and would lose a loader
 * @param {readonly string[]} options.proof the launcher and its arguments that show that it runs
 * @param {(line: string) => void} options.log
 * @returns {Promise<Record<string, string>>} a launcher for each program: it becomes the program, so the pid stays, and is its argv[0]
 * @throws Error that says what went wrong
 */
export async function unpackTools({ folder, packages, keep, programs, optional = {}, proof, direct = false, log }) {
  const launchers = Object.fromEntries(Object.keys(programs).map((name) => [name, join(folder, "bin", name)]));
  if (existsSync(join(folder, "bin"))) return launchers;
  if (!onPath("apt-get") || !onPath("dpkg")) throw new Error("there is no apt-get and dpkg to unpack it with");
  await mkdir(dirname(folder), { recursive: true });
  await withLock(`${folder}.lock`, log, async () => {
    if (existsSync(join(folder, "bin"))) return;
    log(`unpacking ${packages.join(", ")} into .local/tools (nothing is installed in the system)`);
    const work = `${folder}.${process.pid}.tmp`;
    await rm(work, { recursive: true, force: true });
    try {
      await unpack(work, { packages, keep, programs, optional, direct });
      const [name, ...args] = proof;
      await run(proof.join(" "), join(work, "bin", name), args);
      await rm(join(work, "apt"), { recursive: true, force: true });
      await rm(folder, { recursive: true, force: true });
      await rename(work, folder);
    } catch (error) {
      await rm(work, { recursive: true, force: true });
      throw error;
    }
  });
  return launchers;
}

async function unpack(work, { packages, keep, programs, optional, direct }) {
  const apt = join(work, "apt");
  const env = await configureApt({ folder: apt, sources: await sourcesForSuite(await ownSuite(), true), run });
  await run("apt-get update", "apt-get", ["update", "-q"], env);
  const download = ["install", "-q", "-y", "--download-only", "--no-install-recommends", ...packages];
  await run(`apt-get download of ${packages.join(", ")}`, "apt-get", download, env);
  const root = join(work, "root");
  await mkdir(root);
  const archives = join(apt, "cache", "archives");
  for (const file of (await readdir(archives)).filter((name) => keep.test(name)).sort())
    await run(`dpkg -x ${file}`, "dpkg", ["-x", join(archives, file), root]);
  const { loader, path } = direct ? { loader: undefined, path: await foldersOf(root) } : await loaderOf(root);
  await mkdir(join(work, "bin"));
  for (const [name, places] of Object.entries({ ...programs, ...optional })) {
    const program = places.find((file) => existsSync(join(root, file)));
    if (!program && name in optional) continue;
    if (!program) throw new Error(`no ${name} in the unpacked packages`);
    // argv[0] is the launcher: a program that starts itself again does so through it.
    const how = loader ? `exec "$r/${loader}" --library-path "${path}" --argv0 "$0"` : `LD_LIBRARY_PATH="${path}" exec`;
    const script = `#!/bin/sh\nr=\${0%/*}/../root\n${how} "$r/${program}" "$@"\n`;
    await writeFile(join(work, "bin", name), script, { mode: 0o755 });
  }
}

/** Where libraries lie among what was unpacked. */
async function foldersOf(root) {
  const folders = [];
  for (const base of ["lib", "usr/lib"]) {
    const entries = existsSync(join(root, base)) ? await readdir(join(root, base)) : [];
    folders.push(...entries.filter((name) => /-linux-gnu/.test(name)).map((name) => `$r/${base}/${name}`));
  }
  return folders.join(":");
}
