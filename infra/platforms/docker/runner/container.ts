import { setTimeout as delay } from "node:timers/promises";
import type Docker from "dockerode";
import { say } from "../../../../components/formation/runner/say";
import { orGone } from "./daemon";
import { LABELS, type NodeInputs, STOP_GRACE_SECONDS } from "./types";

/** @returns `running`, `paused`, `stopped` or `gone` */
export async function stateOf(docker: Docker, containerId: string): Promise<string> {
  const there = await orGone(docker.getContainer(containerId).inspect());
  if (!there) return "gone";
  if (there.State.Paused) return "paused";
  return there.State.Running || there.State.Restarting ? "running" : "stopped";
}

const SAY_EVERY_MILLISECONDS = 10_000;

/** Ends a server politely, so that it saves. @param grace in seconds; then it is killed */
export async function stopContainer(
  docker: Docker,
  node: string,
  id: string,
  grace = STOP_GRACE_SECONDS,
): Promise<void> {
  const container = docker.getContainer(id);
  if ((await stateOf(docker, id)) === "paused") await container.unpause();
  const begun = Date.now();
  const telling = setInterval(
    () => say(node, "waiting for the server to save and end", { seconds: Math.round((Date.now() - begun) / 1000) }),
    SAY_EVERY_MILLISECONDS,
  );
  try {
    await orGone(container.stop({ t: grace }));
  } catch (error) {
    // It is stopped already.
    if ((error as { statusCode?: number }).statusCode !== 304) throw error;
  } finally {
    clearInterval(telling);
  }
}

export async function startContainer(docker: Docker, node: string, id: string): Promise<void> {
  try {
    await docker.getContainer(id).start();
  } catch (error) {
    const { statusCode, message } = error as { statusCode?: number; message: string };
    // It runs already.
    if (statusCode === 304) return;
    if (/port is already allocated|address already in use/i.test(message))
      throw new Error(
        `${node} did not start: somebody else has its published port (${message.trim()}); free it, or choose others with \`publish: { firstPort }\``,
      );
    throw new Error(`${node} did not start: ${message.trim()}`, { cause: error });
  }
}

/**
 * Containers of the same node that are not this one: what a run made that was killed before it could say so. Two servers on one
 * volume would ruin it.
 */
export async function removeOthers(docker: Docker, { owner, name, containerId }: NodeInputs): Promise<void> {
  const filters = { label: [`${LABELS.owner}=${owner}`, `${LABELS.node}=${name}`] };
  for (const { Id } of await docker.listContainers({ all: true, filters })) {
    if (Id === containerId) continue;
    say(name, "container of an interrupted run removed", { container: Id.slice(0, 12) });
    await stopContainer(docker, name, Id);
    await orGone(docker.getContainer(Id).remove({ force: true }));
  }
}

const LOG_LINES = 12;

/** What a container has written last. */
export async function lastLines(container: Docker.Container): Promise<string> {
  const bytes = (await container.logs({
    stdout: true,
    stderr: true,
    tail: LOG_LINES,
    follow: false,
  })) as unknown as Buffer;
  const text: string[] = [];
  // Eight bytes before each piece: which stream, and how long it is.
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    text.push(bytes.subarray(at + 8, at + 8 + length).toString("utf8"));
    at += 8 + length;
  }
  return text.join("").trim();
}

const VERSION_MILLISECONDS = 30_000;
const versions = new Map<string, Promise<string>>();

/** What the server of an image says of itself; asked once a process for each image. */
export function versionOf(docker: Docker, image: string, server: string): Promise<string> {
  const key = `${image} ${server}`;
  const known = versions.get(key) ?? askVersion(docker, image, server);
  versions.set(key, known);
  known.catch(() => versions.delete(key));
  return known;
}

async function askVersion(docker: Docker, image: string, server: string): Promise<string> {
  const container = await docker.createContainer({
    Image: image,
    Entrypoint: [server],
    Cmd: ["--version"],
    Labels: { [LABELS.node]: "version" },
    HostConfig: { NetworkMode: "none" },
  });
  try {
    await container.start();
    await Promise.race([container.wait(), delay(VERSION_MILLISECONDS, undefined, { ref: false })]);
    return await lastLines(container);
  } finally {
    await orGone(container.remove({ force: true, v: true }));
  }
}
