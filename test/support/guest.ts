import { execFile } from "node:child_process";
import { once } from "node:events";
import { readlinkSync, realpathSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { promisify } from "node:util";
import * as tar from "tar-stream";
import { dockerClient } from "./docker";

/** What runs in a container of its own, in somebody's network. */
export interface Guest {
  readonly image: string;
  readonly network: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Folders of this machine, which it sees at the same place and cannot change. */
  readonly folders?: readonly string[];
  readonly stdin?: string;
}

/** Runs it to its end. @returns its exit code, and what it wrote */
export async function runGuest(guest: Guest): Promise<{ code: number; stdout: string; stderr: string }> {
  const docker = dockerClient();
  const [program = "", ...args] = guest.command;
  const container = await docker.createContainer({
    Image: guest.image,
    Entrypoint: [program],
    Cmd: args,
    Env: Object.entries(guest.env ?? {}).map(([name, value]) => `${name}=${value}`),
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: {
      NetworkMode: guest.network,
      Binds: (guest.folders ?? []).map((folder) => `${folder}:${folder}:ro`),
    },
  });
  try {
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const texts = [stdout, stderr].map(textOf);
    docker.modem.demuxStream(stream, stdout, stderr);
    const ended = once(stream, "end");
    // Before its start, as `docker run` does: a program that has ended by the time that the start is answered has closed this.
    stream.end(guest.stdin ?? "");
    await container.start();
    const { StatusCode } = await container.wait();
    await ended;
    stdout.end();
    stderr.end();
    const [out = "", errors = ""] = await Promise.all(texts);
    return { code: StatusCode, stdout: out, stderr: errors };
  } finally {
    await container.remove({ force: true, v: true });
  }
}

async function textOf(stream: PassThrough): Promise<string> {
  let text = "";
  for await (const piece of stream) text += piece;
  return text;
}

const HOST_IMAGE = "pulumi-redis-cluster-tests/host:1";

/**
 * An image with nothing in it but the names that programs of this machine expect; its folders come when it is run. So Node and Python of this
 * machine run in a container, as it is, without a registry. Linux alone.
 */
export async function hostImage(): Promise<string> {
  const docker = dockerClient();
  const images = await docker.listImages({ filters: { reference: [HOST_IMAGE] } });
  if (images.length > 0) return HOST_IMAGE;
  const pack = tar.pack();
  for (const name of ["usr", "etc", "tmp"]) pack.entry({ name: `${name}/`, type: "directory", mode: 0o755 });
  for (const name of ["bin", "lib", "lib64"]) pack.entry({ name, type: "symlink", linkname: readlinkSync(`/${name}`) });
  pack.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of pack) pieces.push(piece as Buffer);
  const [repo, tag] = HOST_IMAGE.split(":");
  const answer = await docker.importImage(PassThrough.from(Buffer.concat(pieces)), { repo, tag } as never);
  for await (const _piece of answer as unknown as NodeJS.ReadableStream);
  return HOST_IMAGE;
}

const SYSTEM = ["/usr", "/etc"];

/** This Node, with the folders that it needs. */
export function nodeGuest(): { program: string; folders: string[] } {
  const program = realpathSync(process.execPath);
  return { program, folders: outside([...SYSTEM, dirname(program), resolve(__dirname, "../..")]) };
}

/** The interpreter itself, where the one on PATH only starts it, with the folders that it needs. */
export async function pythonGuest(python: string): Promise<{ program: string; folders: string[] }> {
  const ask = "import os, sys; print(os.path.realpath(sys.executable)); print(sys.base_prefix)";
  const { stdout } = await promisify(execFile)(python, ["-c", ask]);
  const [program = "", prefix = ""] = stdout.trim().split("\n");
  return { program, folders: outside([...SYSTEM, dirname(program), prefix, resolve(__dirname, "../..")]) };
}

/** Without those that lie in another one of them. */
function outside(folders: readonly string[]): string[] {
  return [...new Set(folders)].filter((one) => !folders.some((other) => one.startsWith(`${other}/`)));
}
