import type Docker from "dockerode";
import * as tar from "tar-stream";
import type { FileChanges, NodeFolder } from "../../../../components/cluster/nodeFiles";
import { orGone } from "./daemon";
import { DATA_FOLDER, SERVER_USER } from "./types";

/** Modes of what is written: for the server's user alone. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/**
 * What lies in a container's data folder, of these names; the container need not run.
 * @param folders those to read whole
 */
export async function readFolder(
  container: Docker.Container,
  files: readonly string[],
  folders: readonly string[],
): Promise<NodeFolder> {
  const texts = new Map<string, string>();
  for (const name of [...files, ...folders]) {
    const path = `${DATA_FOLDER}/${name}`;
    const stream = await orGone(container.getArchive({ path }));
    if (!stream) continue;
    for (const [entry, text] of await unpack(stream)) texts.set(entry, text);
  }
  return {
    read: (name) => texts.get(name) ?? "",
    list: (folder) =>
      [...texts.keys()].filter((n) => n.startsWith(`${folder}/`)).map((n) => n.slice(folder.length + 1)),
  };
}

/** Writes into a container's data folder, whether it runs or not, in the order of the changes; then takes away what has to go. */
export async function changeFolder(container: Docker.Container, { write, remove }: FileChanges): Promise<void> {
  const folders = new Set<string>();
  const pack = tar.pack();
  const owner = { uid: SERVER_USER.uid, gid: SERVER_USER.gid };
  for (const [name] of write) if (name.includes("/")) folders.add(name.slice(0, name.lastIndexOf("/")));
  for (const name of folders) pack.entry({ name: `${name}/`, type: "directory", mode: FOLDER_MODE, ...owner });
  for (const [name, text] of write) pack.entry({ name, mode: FILE_MODE, ...owner }, text);
  pack.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of pack) pieces.push(piece as Buffer);
  // The folder itself is as the image has it: Docker skips an entry for that.
  await container.putArchive(Buffer.concat(pieces), { path: DATA_FOLDER });
  if (remove.length > 0) await takeAway(container, remove);
}

/** Docker's own interface cannot remove a file; a server that runs can have it done beside it. One that does not keeps it until it does. */
async function takeAway(container: Docker.Container, names: readonly string[]): Promise<void> {
  const { State } = await container.inspect();
  if (!State.Running || State.Paused) return;
  const paths = names.map((name) => `${DATA_FOLDER}/${name}`);
  const command = await container.exec({ Cmd: ["rm", "-f", "--", ...paths], AttachStdout: true, AttachStderr: true });
  const stream = await command.start({});
  await new Promise<void>((resolve, reject) => {
    stream.on("end", resolve).on("error", reject).resume();
  });
}

/** The first bytes of a file in a container's data folder, however large it is; undefined where there is none. */
export async function readHead(container: Docker.Container, name: string, bytes: number): Promise<Buffer | undefined> {
  const stream = await orGone(container.getArchive({ path: `${DATA_FOLDER}/${name}` }));
  if (!stream) return undefined;
  const wanted = TAR_HEADER_BYTES + bytes;
  let read = Buffer.alloc(0);
  for await (const piece of stream) {
    read = Buffer.concat([read, piece as Buffer]);
    // Leaving the loop ends the stream, and with it the daemon's reading.
    if (read.length >= wanted) break;
  }
  return read.subarray(TAR_HEADER_BYTES, wanted);
}

/** What comes before a file's own bytes in an archive. */
const TAR_HEADER_BYTES = 512;

async function unpack(stream: NodeJS.ReadableStream): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  const extract = tar.extract();
  const broken = new Promise<never>((_, reject) => stream.once("error", reject));
  // Late, there is nobody left to hear of it.
  broken.catch(() => {});
  stream.pipe(extract);
  const read = async () => {
    for await (const entry of extract) {
      const pieces: Buffer[] = [];
      for await (const piece of entry) pieces.push(piece as Buffer);
      const { name, type } = entry.header;
      if (type === "file") texts.set(name.replace(/^\.\//, ""), Buffer.concat(pieces).toString("utf8"));
    }
    return texts;
  };
  return Promise.race([read(), broken]);
}
