import type Docker from "dockerode";
import type { Properties } from "../values";

/** What the provider's client speaks at most; a daemon that is older is spoken to in its own version. */
const newestApi = "1.51";

export interface Client {
  readonly docker: Docker;
  /** The version of the API that both sides speak. */
  readonly api: string;
}

/** What a resource's operations are made of. Everything in it is plain: secrets are unwrapped, and wrapped again by the caller. */
export interface Operations {
  /** `keep` is told the resource's ID as soon as there is one: what fails from then on leaves a resource behind. */
  create(client: Client, inputs: Properties, state: Properties, keep: (id: string) => void): Promise<Properties>;
  /** `undefined`: it is gone. */
  read(client: Client, id: string, state: Properties): Promise<{ id: string; outputs: Properties } | undefined>;
  /** `state` is what was planned; what comes back is what is kept. */
  update(client: Client, id: string, old: Properties, state: Properties): Promise<Properties>;
  delete(client: Client, id: string, state: Properties): Promise<void>;
}

export async function connect(host: string): Promise<Client> {
  // Only here: most runs have nothing to do with Docker, and every run is a process that would load it.
  const { default: DockerClient } = await import("dockerode");
  const docker = new DockerClient(dockerOptions(host));
  try {
    await docker.ping();
    const { ApiVersion } = await docker.version();
    return { docker, api: olderThan(ApiVersion, newestApi) ? ApiVersion : newestApi };
  } catch (error) {
    throw new Error(
      `Error pinging Docker server, please make sure that ${host} is reachable and has a  '_ping' endpoint. Error: ${messageOf(error)}`,
    );
  }
}

function dockerOptions(host: string): Docker.DockerOptions {
  const match = /^(unix|tcp|http):\/\/(.+)$/.exec(host);
  const rest = match?.[2] ?? "";
  if (match?.[1] === "unix") return { socketPath: rest };
  const address = match ? /^(\[[0-9a-f:]+\]|[^:/]+):(\d+)\/?$/i.exec(rest) : undefined;
  if (address) return { protocol: "http", host: address[1] ?? "", port: Number(address[2]) };
  throw new Error(
    `host: "${host}" is not carried out by this double of the Docker provider; give unix:///path or tcp://host:port`,
  );
}

function olderThan(a: string, b: string): boolean {
  const [[majorA = 0, minorA = 0], [majorB = 0, minorB = 0]] = [a.split(".").map(Number), b.split(".").map(Number)];
  return majorA < majorB || (majorA === majorB && minorA < minorB);
}

/** What the daemon said, as its own client puts it. */
export function messageOf(error: unknown): string {
  const said = (error as { json?: { message?: string } }).json?.message;
  return said ? `Error response from daemon: ${said}` : error instanceof Error ? error.message : String(error);
}

export function isNotFound(error: unknown): boolean {
  return (error as { statusCode?: number }).statusCode === 404;
}

/** Runs a step; what fails is told in the provider's words. */
export async function attempt<T>(
  what: string,
  work: () => Promise<T>,
  ignored: readonly string[] = [],
): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const message = messageOf(error);
    if (ignored.some((text) => message.toLowerCase().includes(text.toLowerCase()))) return undefined;
    throw new Error(`${what}: ${message}`);
  }
}

/** Until it answers something other than `undefined`. */
export async function until<T>(seconds: number, work: () => Promise<T | undefined>, late: () => string): Promise<T> {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const result = await work();
    if (result !== undefined) return result;
    if (Date.now() >= end) throw new Error(late());
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
