// Brings OpenSSH's server and what goes with it (ssh-keygen, ssh-agent, ssh-add), for tests of the way through a bastion: from
// where systems keep them, else unpacked from the distribution's own packages into .local/tools. Nothing is installed in the system,
// and no server but the tests' own is ever started.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT } from "./project.mjs";
import { onPath } from "./servers.mjs";
import { unpackTools } from "./tools.mjs";

const FOLDER = join(PROJECT, ".local", "tools", "openssh");
const CLIENTS = ["ssh-keygen", "ssh-agent", "ssh-add"];

/** Thrown where sshd cannot be had; the message says what to do. */
export class NoSshd extends Error {
  name = "NoSshd";
}

/** @returns {Record<string, string> | undefined} the system's own, where all of it is there */
function installedHere() {
  const found = {
    sshd: ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].find(existsSync) ?? onPath("sshd"),
    ...Object.fromEntries(CLIENTS.map((name) => [name, onPath(name)])),
  };
  return Object.values(found).every(Boolean) ? found : undefined;
}

/**
 * @param {{ log?: (line: string) => void, installed?: () => Record<string, string> | undefined }} [options] `installed`: for tests
 * @returns {Promise<import("./sshd.mjs").OpenSsh>}
 */
export async function ensureSshd({ log = () => {}, installed = installedHere } = {}) {
  const system = installed();
  if (system) return programsOf(system, []);
  try {
    const programs = {
      sshd: ["usr/sbin/sshd"],
      ...Object.fromEntries(CLIENTS.map((name) => [name, [`usr/bin/${name}`]])),
    };
    // From OpenSSH 9.8 on, sshd starts a program of its own for each connection, and from 10 on one for the login, too.
    const helpers = { "sshd-session": "SshdSessionPath", "sshd-auth": "SshdAuthPath" };
    const launchers = await unpackTools({
      folder: FOLDER,
      packages: ["openssh-server", "openssh-client"],
      keep: /^(openssh-(server|client)|lib.*|zlib1g)_.*\.deb$/,
      programs,
      optional: Object.fromEntries(Object.keys(helpers).map((name) => [name, [`usr/lib/openssh/${name}`]])),
      proof: ["ssh-agent", "/bin/true"],
      log,
    });
    const there = new Set(await readdir(join(FOLDER, "bin")));
    const config = Object.entries(helpers).flatMap(([name, directive]) =>
      there.has(name) ? [`${directive} ${join(FOLDER, "bin", name)}`] : [],
    );
    return programsOf(launchers, config);
  } catch (error) {
    throw new NoSshd(
      `there is no sshd, and openssh-server could not be unpacked (${error.message}); install openssh-server`,
    );
  }
}

function programsOf(found, config) {
  return { sshd: found.sshd, keygen: found["ssh-keygen"], agent: found["ssh-agent"], add: found["ssh-add"], config };
}
