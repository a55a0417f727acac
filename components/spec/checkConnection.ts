import { PROXY_DEFAULTS } from "../access/defaults";
import { readHostKey } from "../access/hostKeys";
import { problemOfKeyText } from "../access/privateKey";
import { type Problems, readInteger, readSecretObject, refuseUnknownKeys, show } from "./reader";

const PROXY_ARGUMENTS = [
  "host",
  "port",
  "user",
  "password",
  "privateKey",
  "privateKeyPassword",
  "agentSocketPath",
  "hostKey",
  "dialErrorLimit",
  "perDialTimeout",
];
const SECRETS = ["password", "privateKey", "privateKeyPassword"] as const;
const DAY_SECONDS = 24 * 3600;

/**
 * How nodes are reached: directly, or through an SSH server. Text may be known only later (an Output), and is judged then; what is
 * secret is never shown.
 */
export function checkConnection(problems: Problems, value: unknown): void {
  if (value === undefined) return;
  const connection = readSecretObject(problems, "connection", value, "{ proxy }");
  for (const [key, given] of Object.entries(connection))
    if (given !== undefined && PROXY_ARGUMENTS.includes(key))
      problems.error(`connection.${key}`, "is about an SSH server; give it as connection.proxy");
  refuseUnknownKeys(problems, "connection.", connection, ["proxy", ...PROXY_ARGUMENTS]);
  if (connection["proxy"] === undefined) return;
  const at = "connection.proxy";
  const proxy = readSecretObject(problems, at, connection["proxy"], "{ host, user, privateKey }");
  if (!problems.isSound(at)) return;
  refuseUnknownKeys(problems, `${at}.`, proxy, PROXY_ARGUMENTS);
  checkHost(problems, `${at}.host`, proxy["host"]);
  readInteger(problems, `${at}.port`, proxy["port"], PROXY_DEFAULTS.port, {
    least: 1,
    most: 65_535,
    use: "use the port of the SSH server, 22 by default",
  });
  const user = plainText(problems, `${at}.user`, proxy["user"]);
  if (user !== undefined && !/^[^\s@:]+$/.test(user))
    problems.error(`${at}.user`, `${show(user)} is no name of a user; give it alone, the host apart`);
  const agent = plainText(problems, `${at}.agentSocketPath`, proxy["agentSocketPath"]);
  if (agent === "") problems.error(`${at}.agentSocketPath`, "is empty; leave it out to use SSH_AUTH_SOCK");
  const hostKey = plainText(problems, `${at}.hostKey`, proxy["hostKey"]);
  const read = hostKey === undefined ? undefined : readHostKey(hostKey);
  if (typeof read === "string") problems.error(`${at}.hostKey`, `${show(hostKey)} ${read}`);
  for (const name of SECRETS) checkSecret(problems, `${at}.${name}`, proxy[name]);
  const key = proxy["privateKey"];
  const problem = typeof key === "string" && key !== "" ? problemOfKeyText(key) : undefined;
  if (problem !== undefined) problems.error(`${at}.privateKey`, problem);
  if (proxy["privateKeyPassword"] !== undefined && key === undefined)
    problems.error(`${at}.privateKeyPassword`, "is given without a privateKey; give both, or neither");
  readInteger(problems, `${at}.dialErrorLimit`, proxy["dialErrorLimit"], PROXY_DEFAULTS.dialErrorLimit, {
    least: 0,
    use: "use the number of tries, or 0 to try for ever",
  });
  readInteger(problems, `${at}.perDialTimeout`, proxy["perDialTimeout"], PROXY_DEFAULTS.perDialTimeout, {
    least: 0,
    most: DAY_SECONDS,
    use: "use the seconds that one try may take, or 0 for no limit",
  });
}

function checkHost(problems: Problems, property: string, value: unknown): void {
  if (value === undefined) {
    problems.error(property, "is missing; give the name or address of the SSH server that reaches the nodes");
    return;
  }
  const host = plainText(problems, property, value);
  if (host === undefined) return;
  if (host.includes("@"))
    // With the user there may be a password.
    problems.error(property, `has a user in it; give the host alone, and the user as \`user\``);
  else if (/^\[.*\]$|^[^:]+:\d+$/.test(host))
    problems.error(property, `${show(host)} is no host; give it without brackets, and the port as \`port\``);
  else if (!/^[A-Za-z0-9._:%-]+$/.test(host))
    problems.error(property, `${show(host)} is no host; give a name or an address, such as bastion.example.com`);
}

/** Text that is known already; undefined where it comes later, or was reported. */
function plainText(problems: Problems, property: string, value: unknown): string | undefined {
  if (value === undefined || isLater(value)) return undefined;
  if (typeof value === "string") return value;
  problems.error(property, `got ${show(value)} (${value === null ? "null" : typeof value}); must be a string`);
  return undefined;
}

function checkSecret(problems: Problems, property: string, value: unknown): void {
  if (value === undefined || isLater(value)) return;
  if (typeof value !== "string")
    problems.error(
      property,
      `got ${value === null ? "null" : `a ${typeof value}`}; must be a string, better a secret Output`,
    );
  else if (value === "") problems.error(property, "is empty; give it, or leave it out");
}

function isLater(value: unknown): boolean {
  return typeof value === "object" && value !== null && ("apply" in value || "then" in value);
}
