import * as fs from "node:fs";
import type Docker from "dockerode";
import type { Properties } from "../values";
import { attempt, type Client, isNotFound, messageOf, type Operations, until } from "./client";
import { containerConfig, number, text } from "./containerConfig";
import { readContainer } from "./containerRead";
import { findImage } from "./image";
import { tar } from "./tar";
import { canonical, objects, strings } from "./values";

const mebibyte = 1024 * 1024;

export const containers: Operations = {
  async create(client, inputs, state, keep) {
    const image = String(inputs.image);
    await attempt(`Unable to create container with image ${image}`, () => findImage(client, image));
    const options = containerConfig(inputs, client);
    const created = await attempt("Unable to create container", () => client.docker.createContainer(options));
    if (!created) throw new Error("Unable to create container");
    keep(created.id);
    await connectNetworks(client, created, inputs);
    await upload(created, inputs);
    if (inputs.start !== false) {
      await attempt("Unable to start container", () => created.start());
      if (inputs.wait === true) await untilHealthy(created, number(inputs.waitTimeout) ?? 60);
    }
    const logs = inputs.attach === true ? await untilEnded(created, inputs) : undefined;
    const known = logs === undefined ? state : { ...state, containerLogs: logs };
    const read = await containers.read(client, created.id, known);
    if (!read) throw new Error("the container was gone as soon as it had been made");
    return read.outputs;
  },

  async read({ docker }, id, state) {
    // Listed, not looked up: the provider tells by the list whether there is one, and takes any other trouble for an error.
    const all = await attempt("error fetching container information from Docker", () =>
      docker.listContainers({ all: true }),
    );
    if (!all?.some((container) => container.Id === id)) return undefined;
    return { id, outputs: readContainer(state, await docker.getContainer(id).inspect()) };
  },

  async update({ docker }, id, old, state) {
    const container = docker.getContainer(id);
    if (old.mustRun === false && state.mustRun !== false && state.start !== false)
      await attempt("Unable to start container", () => container.start(), ["container already started"]);
    // Docker can change these. Whatever else is updated in place is changed in the state and nowhere else.
    const live = ["restart", "maxRetryCount", "cpuShares", "memory", "memoryReservation", "cpuSet", "memorySwap"];
    const changed = live.some((key) => canonical(old[key] ?? null) !== canonical(state[key] ?? null));
    if (changed) await attempt("Unable to update a container", () => container.update(resources(state)));
    return state;
  },

  async delete({ docker }, id, state) {
    const container = docker.getContainer(id);
    if (state.attach !== true) {
      // Without grace seconds there are none: the container's own stop timeout does not count here.
      const t = Math.max(number(state.destroyGraceSeconds) ?? 0, 0);
      await attempt(`Error stopping container ${id}`, () => stop(container, t), ["No such container"]);
    }
    const gone = ["No such container", "is already in progress"];
    const remove = () => container.remove({ v: state.removeVolumes !== false, force: true });
    await attempt(`Error deleting container ${id}`, remove, gone);
    const condition = state.rm === true ? "removed" : "not-running";
    await attempt(`Error waiting for container removal '${id}'`, () => container.wait({ condition }), gone);
  },
};

async function stop(container: Docker.Container, t: number): Promise<void> {
  await container.stop({ t }).catch((error: unknown) => {
    // Stopped already.
    if ((error as { statusCode?: number }).statusCode !== 304) throw error;
  });
}

function resources(p: Properties): object {
  const swap = number(p.memorySwap);
  return {
    CpuShares: number(p.cpuShares) ?? 0,
    Memory: (number(p.memory) ?? 0) * mebibyte,
    MemoryReservation: (number(p.memoryReservation) ?? 0) * mebibyte,
    CpusetCpus: text(p.cpuSet) ?? "",
    RestartPolicy: { Name: String(p.restart ?? "no"), MaximumRetryCount: number(p.maxRetryCount) ?? 0 },
    ...(swap === undefined ? {} : { MemorySwap: swap > 0 ? swap * mebibyte : swap }),
  };
}

/** The declared networks take the place of the default one. */
async function connectNetworks({ docker }: Client, container: Docker.Container, inputs: Properties): Promise<void> {
  const wanted = objects(inputs.networksAdvanced);
  if (wanted.length === 0) return;
  await attempt(
    "Unable to disconnect the default network",
    () => docker.getNetwork("bridge").disconnect({ Container: container.id, Force: false }),
    ["is not connected to the network bridge"],
  );
  for (const network of wanted) {
    const name = String(network.name);
    const options = strings(network.driverOpts).filter((option) => option.includes("="));
    const endpoint = {
      Aliases: strings(network.aliases),
      IPAMConfig: {
        IPv4Address: text(network.ipv4Address),
        IPv6Address: text(network.ipv6Address),
        LinkLocalIPs: strings(network.linkLocalIps),
      },
      MacAddress: text(network.macAddress),
      DriverOpts: Object.fromEntries(
        options.map((option) => [option.slice(0, option.indexOf("=")), option.slice(option.indexOf("=") + 1)]),
      ),
      GwPriority: number(network.gwPriority),
    };
    const body = { Container: container.id, EndpointConfig: endpoint } as Docker.NetworkConnectOptions;
    await attempt(`Unable to connect to network '${name}'`, () => docker.getNetwork(name).connect(body));
  }
}

/** Files go in before the first start. */
async function upload(container: Docker.Container, inputs: Properties): Promise<void> {
  for (const { content, contentBase64, source, file, executable, permissions, owner, group } of objects(
    inputs.uploads,
  )) {
    const given = [text(content), text(contentBase64), text(source)].filter((value) => value !== undefined);
    if (given.length === 0)
      throw new Error("error with upload content: one of 'content', 'content_base64', or 'source' must be set");
    if (given.length > 1)
      throw new Error("error with upload content: only one of 'content', 'content_base64', or 'source' can be set");
    const bytes = text(content)
      ? Buffer.from(String(content))
      : text(contentBase64)
        ? Buffer.from(String(contentBase64), "base64")
        : fs.readFileSync(String(source));
    const mode = text(permissions) ? Number.parseInt(String(permissions), 8) : executable === true ? 0o744 : 0o644;
    const ids = { uid: Number(text(owner) ?? 0), gid: Number(text(group) ?? 0) };
    const archive = tar({ name: String(file), mode, ...ids, content: bytes });
    await attempt("Unable to upload volume content", () => container.putArchive(archive, { path: "/" }));
  }
}

async function untilHealthy(container: Docker.Container, seconds: number): Promise<void> {
  const healthy = async () => {
    const { State } = await container.inspect();
    if (!State.Health)
      throw new Error(
        "you have supplied a 'wait' argument, but the container does not have a healthcheck defined. Please remove the 'wait' argument or add a 'healthcheck' attribute",
      );
    return State.Health.Status === "healthy" ? true : undefined;
  };
  await until(seconds, healthy, () => "container failed to be in healthy state");
}

/** `attach`: the container is a task, and its end is waited for. */
async function untilEnded(container: Docker.Container, inputs: Properties): Promise<string | undefined> {
  await attempt("Unable to wait container end of execution", () => container.wait({ condition: "not-running" }));
  if (inputs.logs !== true) return undefined;
  try {
    const raw = await container.logs({ stdout: true, stderr: true, follow: false });
    return inputs.tty === true ? raw.toString() : demultiplex(raw);
  } catch (error) {
    if (isNotFound(error)) return "";
    throw new Error(`unable to read container logs: ${messageOf(error)}`);
  }
}

/** Without a terminal each piece has eight bytes before it: the stream, and how long it is. */
function demultiplex(raw: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= raw.length; ) {
    const length = raw.readUInt32BE(at + 4);
    pieces.push(raw.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(pieces).toString();
}
