import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { parseVersion } from "../../../components/config/versions";
import type { Engine, Problem } from "../../../components/spec/spec";
import { projectFolder } from "./runner/folder";

/** A server program of this machine, and what it says it is. */
export interface FoundServer {
  readonly path: string;
  readonly engine: Engine;
}

/** There is no server to run; `problem` says where was looked and what to do. */
export class NoServer extends Error {
  readonly problem: Problem;

  constructor(property: string, message: string) {
    super(`${property}: ${message}`);
    this.problem = { severity: "error", property, message };
  }
}

const OLDEST_MAJOR = 7;
const WHAT_TO_DO = `install redis-server or valkey-server ${OLDEST_MAJOR}.0 or newer, or set \`serverBinary\` or REDIS_SERVER to the path of one`;

/**
 * Finds the server to run: as given, else REDIS_SERVER, else on PATH, else what the project's scripts unpacked. In the same
 * order as infra/toolchain/servers.mjs, so that `pulumi up` and `npm run up` agree.
 * @throws NoServer
 */
export function findServer(serverBinary?: string): FoundServer {
  for (const [source, given] of [
    ["serverBinary", serverBinary],
    ["REDIS_SERVER", process.env.REDIS_SERVER],
  ] as const) {
    if (!given) continue;
    const file = given.includes("/") ? path.resolve(projectFolder(), given) : onPath(given);
    const found = file ? inspect(file) : undefined;
    if (!found) throw new NoServer(source, `"${given}" is not a server that answers --version; ${WHAT_TO_DO}`);
    if (tooOld(found))
      throw new NoServer(source, `"${given}" is version ${found.engine.version}, too old; ${WHAT_TO_DO}`);
    return found;
  }
  const seen: string[] = [];
  for (const file of [onPath("redis-server"), onPath("valkey-server"), ...unpacked()]) {
    const found = file ? inspect(file) : undefined;
    if (found && !tooOld(found)) return found;
    if (found) seen.push(`${found.path} is version ${found.engine.version}`);
  }
  throw new NoServer(
    "serverBinary",
    `not given, and there is no server to run${seen.length > 0 ? ` (${seen.join(", ")})` : ""}; ${WHAT_TO_DO}, or let \`npm run up\` of this project bring one`,
  );
}

function inspect(file: string): FoundServer | undefined {
  try {
    const engine = parseVersion(
      execFileSync(file, ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 10_000 }),
    );
    return engine && { path: file, engine };
  } catch {
    return undefined;
  }
}

function tooOld(server: FoundServer): boolean {
  return Number.parseInt(server.engine.version, 10) < OLDEST_MAJOR;
}

function onPath(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? "").split(path.delimiter)) {
    if (!folder) continue;
    const file = path.join(folder, name);
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

/** The one of this system's own release; the others there are for tests. */
function unpacked(): string[] {
  let release = "";
  try {
    release = /^VERSION_CODENAME=(.+)$/m.exec(fs.readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
  } catch {
    return [];
  }
  const file = path.join(projectFolder(), ".local", "servers", `redis-${release}`, "bin", "redis-server");
  return fs.existsSync(file) ? [file] : [];
}
