// apt with folders of its own: it downloads for this project and neither reads nor changes the system's package state.
// The mirror is the machine's own, read from its apt sources.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

const ETC = "/etc/apt";

/** The code name of this system's release: "bookworm". */
export async function ownSuite() {
  const text = await readFile("/etc/os-release", "utf8");
  const name = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
  if (!name) throw new Error("/etc/os-release names no release (VERSION_CODENAME)");
  return name;
}

/**
 * Sources (deb822) of one suite. The machine's own suite comes with its updates and security fixes; another suite is
 * looked for on the mirror that has the machine's own.
 */
export async function sourcesForSuite(suite, own) {
  const entries = await readSources();
  const codename = await ownSuite();
  const stanza = (entry, suites, components) =>
    [
      "Types: deb",
      `URIs: ${entry.uris.join(" ")}`,
      `Suites: ${suites.join(" ")}`,
      `Components: ${components.join(" ")}`,
      ...Object.entries(entry.options).map(([key, value]) => `${key}: ${value}`),
    ].join("\n");
  const system = entries
    .map((entry) => ({ ...entry, suites: entry.suites.filter((name) => name.split("-")[0] === codename) }))
    .filter((entry) => entry.suites.length > 0 && entry.components.includes("main"));
  if (own) {
    // A release named "stable" or "testing" in the sources has no code name there: take everything that has a main part.
    const chosen = system.length > 0 ? system : entries.filter((entry) => entry.components.includes("main"));
    if (chosen.length === 0) throw new Error(`${ETC} has no package source`);
    return `${chosen.map((entry) => stanza(entry, entry.suites, entry.components)).join("\n\n")}\n`;
  }
  const release = await readFile("/etc/os-release", "utf8");
  if (!/^ID="?debian"?$/m.test(release))
    throw new Error(`it comes from Debian's mirror, and this system is not Debian`);
  const base = system.find((entry) => entry.suites.includes(codename));
  if (!base) throw new Error(`${ETC} names no mirror of ${codename}`);
  return `${stanza(base, [suite], ["main"])}\n`;
}

/** Writes apt's whole configuration into the folder; returns the environment that makes apt use it. */
export async function configureApt({ folder, sources, run }) {
  for (const name of ["sources", "lists/partial", "cache/archives/partial", "log"])
    await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, "status"), "");
  await writeFile(join(folder, "sources", "suite.sources"), sources);
  // How to reach the mirror (proxies and the like) is the machine's; its hooks are not run, some of them clean up caches.
  const machine = (await run("apt-config dump", "apt-config", ["dump"]))
    .split("\n")
    .filter((line) => /^Acquire::/.test(line) && !/::(Languages|IndexTargets|GzipIndexes|AllowInsecure)/i.test(line));
  const own = {
    "Dir::Etc::main": "/dev/null",
    "Dir::Etc::parts": "/dev/null",
    "Dir::Etc::sourcelist": "/dev/null",
    "Dir::Etc::sourceparts": `${join(folder, "sources")}/`,
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::lists": `${join(folder, "lists")}/`,
    "Dir::State::status": join(folder, "status"),
    "Dir::State::extended_states": join(folder, "extended_states"),
    "Dir::Cache": join(folder, "cache"),
    "Dir::Log": join(folder, "log"),
    "APT::Architectures": architecture(),
    // Without this apt as root downloads as another user, who may not write into the project.
    "APT::Sandbox::User": "",
    "APT::Default-Release": "",
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    "Acquire::http::Timeout": "30",
    "Acquire::https::Timeout": "30",
    // The system's dpkg is not used, so its lock is none of ours; two runs have folders of their own.
    "Debug::NoLocking": "true",
  };
  const file = join(folder, "apt.conf");
  const text = [...machine, ...Object.entries(own).map(([key, value]) => `${key} "${value}";`)].join("\n");
  // A proxy setting may carry a password.
  await writeFile(file, `${text}\n`, { mode: 0o600 });
  return { APT_CONFIG: file, DEBIAN_FRONTEND: "noninteractive" };
}

function architecture() {
  return execFileSync("dpkg", ["--print-architecture"], { encoding: "utf8" }).trim();
}

async function readSources() {
  const files = existsSync(join(ETC, "sources.list")) ? [join(ETC, "sources.list")] : [];
  const parts = join(ETC, "sources.list.d");
  if (existsSync(parts)) {
    for (const name of (await readdir(parts)).sort()) if (/\.(list|sources)$/.test(name)) files.push(join(parts, name));
  }
  const entries = [];
  for (const file of files) {
    const text = await readFile(file, "utf8");
    entries.push(...(file.endsWith(".sources") ? parseDeb822(text) : parseOneLine(text)));
  }
  return entries.filter((entry) => !entry.uris.every((uri) => uri.startsWith("cdrom:")));
}

/** Options that decide whether and how a mirror is trusted, kept as the machine has them. */
const KEPT = new Map(
  ["Signed-By", "Trusted", "Check-Valid-Until", "Allow-Insecure"].map((name) => [name.toLowerCase(), name]),
);

/** The `.sources` format: stanzas of fields; a line that starts with a blank goes on. */
export function parseDeb822(text) {
  const entries = [];
  for (const block of text.replace(/^#.*\n?/gm, "").split(/\n[ \t]*\n/)) {
    const fields = {};
    let last;
    for (const line of block.split("\n")) {
      if (/^[ \t]/.test(line) && last) fields[last] += `\n${line}`;
      else {
        const match = /^([A-Za-z-]+):[ \t]*(.*)$/.exec(line);
        if (!match) continue;
        last = match[1].toLowerCase();
        fields[last] = match[2];
      }
    }
    const words = (name) => (fields[name] ?? "").split(/\s+/).filter(Boolean);
    if (!words("types").includes("deb") || /^(no|false|0|off)$/i.test((fields.enabled ?? "").trim())) continue;
    const options = {};
    for (const [key, name] of KEPT) if (fields[key] !== undefined) options[name] = fields[key];
    entries.push({ uris: words("uris"), suites: words("suites"), components: words("components"), options });
  }
  return entries;
}

/** The one-line format: `deb [signed-by=/file] http://mirror/debian bookworm main contrib`. */
export function parseOneLine(text) {
  const entries = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line);
    if (!match) continue;
    const [, given = "", uri, suite, components] = match;
    const options = {};
    for (const option of given.split(/\s+/).filter(Boolean)) {
      const [key, value] = [option.slice(0, option.indexOf("=")), option.slice(option.indexOf("=") + 1)];
      const name = KEPT.get(key.toLowerCase());
      if (name) options[name] = value;
    }
    entries.push({ uris: [uri], suites: [suite], components: components.split(/\s+/).filter(Boolean), options });
  }
  return entries;
}
