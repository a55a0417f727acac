// Brings iproute2's `ip`, which tests with network namespaces need: from PATH or where systems keep it, else unpacked from
// the distribution's own package into .local/tools, as the servers are. Nothing is installed in the system.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./project.mjs";
import { onPath } from "./servers.mjs";
import { unpackTools } from "./tools.mjs";

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
  try {
    const { ip } = await unpackTools({
      folder: FOLDER,
      packages: ["iproute2"],
      keep: /^(iproute2|lib.*)_.*\.deb$/,
      programs: { ip: ["bin/ip", "sbin/ip", "usr/bin/ip", "usr/sbin/ip"] },
      proof: ["ip", "-V"],
      log,
    });
    return ip;
  } catch (error) {
    throw new NoIp(`there is no \`ip\`, and iproute2 could not be unpacked (${error.message}); install iproute2`);
  }
}
