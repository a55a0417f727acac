import Docker from "dockerode";

/** A daemon that does not answer, with what to do. */
export class NoDaemon extends Error {
  override name = "NoDaemon";
}

/** @param dockerHost as in DOCKER_HOST; empty: that, else this machine's own */
export function daemon(dockerHost: string): Docker {
  const where = dockerHost || process.env.DOCKER_HOST || "";
  const socket = /^unix:\/\/(.+)$/.exec(where)?.[1];
  if (socket) return new Docker({ socketPath: socket });
  // Everything else, certificates among it, is read from the environment by the library itself.
  if (dockerHost === "") return new Docker();
  const { protocol, hostname, port, username } = new URL(dockerHost);
  if (protocol === "ssh:")
    return new Docker({
      protocol: "ssh",
      host: hostname,
      ...(username ? { username } : {}),
      ...(port ? { port } : {}),
    });
  return new Docker({ protocol: protocol === "https:" ? "https" : "http", host: hostname, port: port || 2375 });
}

/** The answer, or undefined where the daemon says that there is no such thing. */
export async function orGone<T>(ask: Promise<T>): Promise<T | undefined> {
  try {
    return await ask;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}

/** @throws NoDaemon where nobody answers */
export async function answered<T>(dockerHost: string, ask: (docker: Docker) => Promise<T>): Promise<T> {
  const docker = daemon(dockerHost);
  try {
    return await ask(docker);
  } catch (error) {
    const { code, statusCode } = error as { code?: string; statusCode?: number };
    if (statusCode !== undefined || code === undefined) throw error;
    const where = dockerHost || process.env.DOCKER_HOST || "unix:///var/run/docker.sock";
    throw new NoDaemon(
      `no Docker daemon answers at ${where} (${code}); start it, or set \`dockerHost\` or DOCKER_HOST to one that this user may use`,
      { cause: error },
    );
  }
}
