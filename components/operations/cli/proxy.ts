import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { PROXY_DEFAULTS } from "../../access/defaults";
import { readHostKey } from "../../access/hostKeys";
import { problemOfKeyText } from "../../access/privateKey";
import type { ProxyAccess } from "../../access/types";
import type { Console } from "./console";
import { UsageError } from "./verb";

/** How a verb is told the way to nodes that this machine does not reach; the same for every verb. */
export const PROXY_OPTIONS = {
  proxy: { type: "string" },
  "proxy-key": { type: "string" },
  "proxy-host-key": { type: "string" },
} as const;

export const PROXY_HELP = [
  "Nodes that only a bastion reaches:",
  `  --proxy [USER@]HOST[:PORT]  through this SSH server (default: user ${PROXY_DEFAULTS.user}, port ${PROXY_DEFAULTS.port}); it looks up the nodes' names`,
  "  --proxy-key FILE            private key to log in with there; without it, the agent of SSH_AUTH_SOCK",
  "  --proxy-host-key KEY        its public key or fingerprint (SHA256:…); without it, what known_hosts says",
  "Environment: REDIS_CLUSTER_PROXY, REDIS_CLUSTER_PROXY_KEY, REDIS_CLUSTER_PROXY_HOST_KEY for the same, and",
  "REDIS_CLUSTER_PROXY_KEY_PASSWORD (passphrase of the key), REDIS_CLUSTER_PROXY_PASSWORD.",
].join("\n");

export interface ProxyOptions {
  readonly proxy?: string | undefined;
  readonly "proxy-key"?: string | undefined;
  readonly "proxy-host-key"?: string | undefined;
}

/** Somebody waits for the answer. */
const TRIES = 3;
const TRY_SECONDS = 10;

/** @returns undefined where nodes are reached directly @throws UsageError */
export async function readProxy(
  options: ProxyOptions,
  { env, cwd }: Pick<Console, "env" | "cwd">,
): Promise<ProxyAccess | undefined> {
  const given = options.proxy ?? (env["REDIS_CLUSTER_PROXY"] || undefined);
  if (given === undefined) {
    for (const name of ["proxy-key", "proxy-host-key"] as const)
      if (options[name] !== undefined) throw new UsageError(`--${name} goes with --proxy [USER@]HOST[:PORT]`);
    return undefined;
  }
  const where = options.proxy === undefined ? "REDIS_CLUSTER_PROXY" : "--proxy";
  const file = options["proxy-key"] ?? (env["REDIS_CLUSTER_PROXY_KEY"] || undefined);
  const hostKey = options["proxy-host-key"] ?? (env["REDIS_CLUSTER_PROXY_HOST_KEY"] || undefined);
  const read = hostKey === undefined ? undefined : readHostKey(hostKey);
  if (typeof read === "string")
    throw new UsageError(
      `${options["proxy-host-key"] === undefined ? "REDIS_CLUSTER_PROXY_HOST_KEY" : "--proxy-host-key"}: ${JSON.stringify(hostKey)} ${read}`,
    );
  const passphrase = env["REDIS_CLUSTER_PROXY_KEY_PASSWORD"];
  const password = env["REDIS_CLUSTER_PROXY_PASSWORD"];
  const agent = file === undefined && !password ? env["SSH_AUTH_SOCK"] : undefined;
  if (file === undefined && !password && !agent)
    throw new UsageError(
      `${where}: there is nothing to log in with: SSH_AUTH_SOCK names no agent; start one, or give --proxy-key FILE`,
    );
  return {
    ...parseProxy(where, given),
    dialErrorLimit: TRIES,
    perDialTimeout: TRY_SECONDS,
    ...(file === undefined ? {} : { privateKey: await readKeyFile(file, cwd) }),
    ...(file !== undefined && passphrase ? { privateKeyPassword: passphrase } : {}),
    ...(password ? { password } : {}),
    ...(agent ? { agentSocketPath: agent } : {}),
    ...(hostKey === undefined ? {} : { hostKey }),
  };
}

/** `host`, `user@host`, `host:port`, `user@[::1]:port`, `::1`. */
function parseProxy(where: string, text: string): Pick<ProxyAccess, "host" | "port" | "user"> {
  const match =
    /^(?:([^\s@:]+)@)?(?:\[([^\]\s]+)\]|([^\s@:[\]]+)|([0-9a-fA-F:.%\w]+:[0-9a-fA-F:.%\w]*:[^\s@[\]]*))(?::(\d+))?$/.exec(
      text,
    );
  const host = match?.[2] ?? match?.[3] ?? match?.[4];
  const port = match?.[5] === undefined ? undefined : Number(match[5]);
  if (!host || (port !== undefined && (port < 1 || port > 65_535)))
    throw new UsageError(
      `${where}: ${JSON.stringify(text)} is not [USER@]HOST[:PORT], such as ops@bastion.example.com:22`,
    );
  return { host, ...(port === undefined ? {} : { port }), ...(match?.[1] === undefined ? {} : { user: match[1] }) };
}

/** The file's name is shown, nothing of what is in it. */
async function readKeyFile(file: string, cwd: string): Promise<string> {
  const path = file === "~" || file.startsWith("~/") ? join(homedir(), file.slice(1)) : resolve(cwd, file);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError(
      `cannot read the private key ${file}: ${code === "ENOENT" ? "there is no such file" : (code ?? message)}`,
    );
  }
  const problem = problemOfKeyText(text);
  if (problem !== undefined) throw new UsageError(`the private key ${file} ${problem}`);
  return text;
}
