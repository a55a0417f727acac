import { type ClusterCredentials, type ClusterInventory, INVENTORY_VERSION } from "../cluster/inventory";
import { formatProblems } from "../spec/formatProblems";
import { closest } from "../spec/reader";
import type { Problem } from "../spec/spec";
import { isPort } from "./settings";

/** What was given cannot be used; the message names every problem, and nothing that is secret. */
export class UnusableInput extends Error {
  override name = "UnusableInput";
}

/** Collects what is wrong, so that all of it is told at once. */
export class Problems {
  readonly #found: Problem[] = [];

  add(property: string, message: string): void {
    this.#found.push({ severity: "error", property, message });
  }

  /** @throws UnusableInput where anything was found */
  throwIfAny(cluster: string): void {
    if (this.#found.length > 0) throw new UnusableInput(formatProblems(cluster, this.#found));
  }
}

type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const INVENTORY_HINT = "give the stack's output `inventory`, as `pulumi stack output inventory --json` prints it";
const CREDENTIALS_HINT =
  "give the stack's output `credentials`, as `pulumi stack output credentials --json --show-secrets` prints it";

/** Whether the shape is one that this version knows. Adds what is not; does not look at what clients do not need. */
export function checkInventory(value: unknown, problems: Problems): value is ClusterInventory {
  if (!isFields(value)) {
    problems.add("inventory", `got ${shown(value)}; ${INVENTORY_HINT}`);
    return false;
  }
  if (value["version"] !== INVENTORY_VERSION) {
    const newer = typeof value["version"] === "number" && value["version"] > INVENTORY_VERSION;
    const mend = newer ? "update the package pulumi-redis-cluster here" : INVENTORY_HINT;
    problems.add("inventory.version", `got ${shown(value["version"])}, known is ${INVENTORY_VERSION}; ${mend}`);
    return false;
  }
  if (!isWholeAbove(value["nodeTimeoutMilliseconds"], 0)) {
    const got = shown(value["nodeTimeoutMilliseconds"]);
    problems.add("inventory.nodeTimeoutMilliseconds", `got ${got}; a whole number of milliseconds above 0 is wanted`);
  }
  const { shards, tls } = value;
  if (tls !== undefined && !isFields(tls)) problems.add("inventory.tls", `got ${shown(tls)}; an object is wanted`);
  if (!Array.isArray(shards)) {
    problems.add("inventory.shards", `got ${shown(shards)}; a list of shards is wanted; ${INVENTORY_HINT}`);
    return false;
  }
  let nodes = 0;
  for (const [i, shard] of shards.entries()) {
    const at = `inventory.shards[${i}]`;
    if (!isFields(shard) || typeof shard["name"] !== "string" || !Array.isArray(shard["nodes"])) {
      problems.add(at, "a shard with a name and a list of nodes is wanted");
      continue;
    }
    for (const [k, node] of shard["nodes"].entries()) checkNode(node, `${at}.nodes[${k}]`, problems);
    nodes += shard["nodes"].length;
  }
  if (nodes === 0) problems.add("inventory.shards", "there is no node in it; at least one is needed to begin with");
  return true;
}

function checkNode(node: unknown, at: string, problems: Problems): void {
  if (!isFields(node)) {
    problems.add(at, `got ${shown(node)}; a node is wanted`);
    return;
  }
  for (const field of ["name", "zone", "address", "role"])
    if (typeof node[field] !== "string") problems.add(`${at}.${field}`, `got ${shown(node[field])}; text is wanted`);
  const { hostname, port, plainPort, published } = node;
  if (hostname !== undefined && (typeof hostname !== "string" || hostname === ""))
    problems.add(`${at}.hostname`, `got ${shown(hostname)}; a host name is wanted, or nothing`);
  const range = "a port from 1 to 65535 is wanted";
  if (!isPort(port)) problems.add(`${at}.port`, `got ${shown(port)}; ${range}`);
  if (
    published !== undefined &&
    !(isFields(published) && typeof published["address"] === "string" && isPort(published["port"]))
  )
    problems.add(`${at}.published`, `got ${shown(published)}; an address and a port are wanted, or nothing`);
  if (plainPort !== undefined && !isPort(plainPort))
    problems.add(`${at}.plainPort`, `got ${shown(plainPort)}; ${range}`);
}

/** The same for credentials; what they hold is never part of a message. */
export function checkCredentials(value: unknown, problems: Problems): value is ClusterCredentials {
  if (!isFields(value)) {
    // What Pulumi prints in place of a secret.
    const got = value === "[secret]" ? '"[secret]"' : shown(value);
    problems.add("credentials", `got ${got}; ${CREDENTIALS_HINT}`);
    return false;
  }
  const { username, password, users, admin, tls } = value;
  const text = (at: string, field: unknown) => {
    if (typeof field !== "string" || field === "")
      problems.add(`credentials.${at}`, `got ${kindOf(field)}; text is wanted`);
  };
  text("username", username);
  if (password !== undefined) text("password", password);
  if (admin !== undefined) checkLogin(admin, "admin", text);
  if (users !== undefined && !isFields(users))
    problems.add("credentials.users", `got ${kindOf(users)}; users by name are wanted`);
  if (isFields(users))
    for (const [name, user] of Object.entries(users))
      text(`users.${name}.password`, isFields(user) ? user["password"] : undefined);
  if (tls !== undefined) checkTls(tls, problems);
  return true;
}

function checkLogin(login: unknown, at: string, text: (at: string, field: unknown) => void): void {
  const { username, password } = isFields(login) ? login : { username: undefined, password: undefined };
  text(`${at}.username`, username);
  text(`${at}.password`, password);
}

function checkTls(tls: unknown, problems: Problems): void {
  if (!isFields(tls)) {
    problems.add("credentials.tls", `got ${kindOf(tls)}; an object is wanted`);
    return;
  }
  const pem = (at: string, value: unknown) => {
    if (typeof value !== "string" || !value.includes("-----BEGIN "))
      problems.add(`credentials.tls.${at}`, `got ${kindOf(value)}; PEM is wanted, which begins with -----BEGIN`);
  };
  pem("caCertificatePem", tls["caCertificatePem"]);
  const { certificatePem, keyPem, clients } = tls;
  // One without the other proves nothing.
  if (certificatePem !== undefined || keyPem !== undefined) {
    pem("certificatePem", certificatePem);
    pem("keyPem", keyPem);
  }
  if (clients === undefined) return;
  if (!isFields(clients)) {
    problems.add("credentials.tls.clients", `got ${kindOf(clients)}; certificates by name are wanted`);
    return;
  }
  for (const [name, client] of Object.entries(clients)) {
    pem(`clients.${name}.certificatePem`, isFields(client) ? client["certificatePem"] : undefined);
    pem(`clients.${name}.keyPem`, isFields(client) ? client["keyPem"] : undefined);
  }
}

function isWholeAbove(value: unknown, bound: number): boolean {
  return Number.isInteger(value) && (value as number) > bound;
}

/** Text is never shown, whatever it should be: it may be a password, or whole credentials, in the wrong place. */
export function shown(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const parsed = typeof value === "string" && /^\s*[{[]/.test(value) ? " of JSON: parse it first" : "";
  return `${kindOf(value)}${parsed}`;
}

/** A name in place of one of these; it is not shown, since it may be none. */
export function unknownName(given: unknown, known: readonly string[]): string {
  const meant = typeof given === "string" ? closest(given, known) : undefined;
  return `got ${meant ? "another name" : shown(given)}; one of ${known.join(", ") || "none"} is wanted${meant ? ` (did you mean "${meant}"?)` : ""}`;
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (value === "") return "empty text";
  if (Array.isArray(value)) return "a list";
  return (
    { string: "text", number: "a number", boolean: "true or false", object: "an object" }[typeof value as string] ??
    typeof value
  );
}
