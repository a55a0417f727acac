// Images for the tests, of the four servers that servers.mjs unpacks, under the names and with the manners of the official ones: the
// server and its client in /usr/local/bin, a user redis with ID 999, REDIS_VERSION or VALKEY_VERSION in the environment, /data as
// folder and volume. Without the official entrypoint, which drops root where nobody names a user; here it is a plain command.

import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { ask } from "./dockerApi.mjs";
import { PROJECT } from "./project.mjs";
import { ensureTestServers, loaderOf, run } from "./servers.mjs";
import { unpackTools } from "./tools.mjs";

/** What official images are called, by the tests' name of the server. */
export const IMAGE_NAMES = {
  "redis-7.0": "redis:7.0",
  "redis-8.0": "redis:8.0",
  "valkey-8.1": "valkey/valkey:8.1",
  "valkey-9.1": "valkey/valkey:9.1",
};

/** Changed whenever the way of making them is, so that images made the old way are made anew. */
const RECIPE = "2";
const LABEL = "redis-cluster.test-image";

/**
 * @param {{ host: string, log?: (line: string) => void, only?: (keyof typeof IMAGE_NAMES)[] }} options
 * @returns {Promise<Partial<Record<keyof typeof IMAGE_NAMES, string>>>} the images' names
 */
export async function serverImages({ host, log = () => {}, only = Object.keys(IMAGE_NAMES) }) {
  const servers = await ensureTestServers({ log });
  for (const name of only) await makeImage(host, IMAGE_NAMES[name], servers[name], log);
  return Object.fromEntries(only.map((name) => [name, IMAGE_NAMES[name]]));
}

async function makeImage(host, image, server, log) {
  const content = await contentOf(server);
  const there = await ask(host, "GET", `/images/${encodeURIComponent(image)}/json`);
  if (there.status === 200) {
    const label = JSON.parse(there.text).Config?.Labels?.[LABEL];
    if (label === content) return;
    // Somebody's own, such as the official one: as good for the tests, and not ours to replace.
    if (label === undefined) return log(`${image} is there already and not one of these tests; it is used as it is`);
  }
  const work = await mkdtemp(join(tmpdir(), "redis-image-"));
  try {
    await layOut(work, server, log);
    await importImage(host, image, work, server, content);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Of the program and the way of packing it: the same again is not packed again. */
async function contentOf(server) {
  const hash = createHash("sha256").update(`${RECIPE} ${server.engine} ${server.version} `);
  for (const file of await programsOf(server)) {
    for await (const chunk of createReadStream(file.from)) hash.update(chunk);
  }
  return hash.digest("hex");
}

/** The server and its client: the programs behind the launchers. */
async function programsOf(server) {
  const root = join(dirname(dirname(server.path)), "root");
  const find = async (launcher) => {
    const inside = /"\$r\/(usr\/s?bin\/[^"]+)"/.exec(await readFile(launcher, "utf8"))?.[1];
    if (!inside) throw new Error(`${launcher} does not say which program it starts`);
    return await realpath(join(root, inside));
  };
  const names = [`${server.engine}-server`, `${server.engine}-cli`];
  return [
    { from: await find(server.path), to: `usr/local/bin/${names[0]}` },
    ...(server.cliPath ? [{ from: await find(server.cliPath), to: `usr/local/bin/${names[1]}` }] : []),
  ];
}

async function layOut(work, server, log) {
  const root = join(dirname(dirname(server.path)), "root");
  const { loader, path } = await loaderOf(root);
  const folders = ["usr/local/bin", "usr/lib", "bin", "etc", "data", "tmp", "run", "root", "var"];
  for (const folder of folders) await mkdir(join(work, folder), { recursive: true });
  await chmod(join(work, "tmp"), 0o1777);
  await symlink("usr/lib", join(work, "lib"));
  await symlink("usr/lib", join(work, "lib64"));
  for (const { from, to } of await programsOf(server)) {
    await cp(from, join(work, to));
    await chmod(join(work, to), 0o755);
    for (const library of await librariesOf(root, loader, path, from)) {
      const place = join(work, "usr/lib", basename(library));
      if (!existsSync(place)) await cp(await realpath(library), place);
    }
  }
  const linker = join(work, "usr/lib", basename(loader));
  await cp(await realpath(join(root, loader)), linker);
  await chmod(linker, 0o755);
  await writeFile(join(work, "etc/ld.so.conf"), "/usr/lib\n");
  await writeFile(join(work, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nredis:x:999:999::/data:/bin/sh\n");
  await writeFile(join(work, "etc/group"), "root:x:0:\nredis:x:999:\n");
  await writeFile(join(work, "etc/nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n");
  const busybox = await ensureBusybox(log);
  await cp(busybox, join(work, "bin/busybox"));
  for (const name of (await run("busybox --list", busybox, ["--list"])).trim().split("\n"))
    if (name !== "busybox") await symlink("busybox", join(work, "bin", name));
}

/** As the loader finds them: among the unpacked ones, whatever this system has. */
async function librariesOf(root, loader, path, program) {
  const folders = path.replaceAll("$r", root);
  const list = await run("ld-linux --list", join(root, loader), ["--library-path", folders, "--list", program]);
  // Name resolution loads these by name, so no program lists them.
  const named = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];
  const found = [...list.matchAll(/=> (\/\S+)/g)].map((match) => match[1]);
  const more = folders.split(":").flatMap((folder) => named.map((name) => join(folder, name)));
  return [...found, ...more.filter(existsSync)];
}

/** A shell and the small tools of all days in one program that needs no library: it runs in every image. */
async function ensureBusybox(log) {
  const folder = join(PROJECT, ".local", "tools", "busybox");
  await unpackTools({
    folder,
    packages: ["busybox-static"],
    keep: /^busybox-static_.*\.deb$/,
    programs: { busybox: ["bin/busybox", "usr/bin/busybox"] },
    proof: ["busybox", "true"],
    direct: true,
    log,
  });
  return await realpath(
    ["bin/busybox", "usr/bin/busybox"].map((file) => join(folder, "root", file)).find((file) => existsSync(file)) ?? "",
  );
}

async function importImage(host, image, work, server, content) {
  const changes = [
    `ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    `ENV ${server.engine.toUpperCase()}_VERSION=${server.version}`,
    `LABEL ${LABEL}=${content}`,
    "WORKDIR /data",
    "VOLUME /data",
    "EXPOSE 6379",
    `CMD ["${server.engine}-server"]`,
  ];
  const [repo, tag] = [image.slice(0, image.lastIndexOf(":")), image.slice(image.lastIndexOf(":") + 1)];
  const query = new URLSearchParams({ fromSrc: "-", repo, tag });
  for (const change of changes) query.append("changes", change);
  // Everything is root's but the folder of the data.
  const others = ["--owner=0", "--group=0", "--exclude=./data", "-C", work, "-c", "."];
  const archive = join(dirname(work), `${basename(work)}.tar`);
  try {
    await run("tar", "tar", ["-f", archive, ...others]);
    await run("tar", "tar", ["-f", archive, "--owner=999", "--group=999", "-C", work, "-r", "./data"]);
    const body = createReadStream(archive);
    const { status, text } = await ask(host, "POST", `/images/create?${query}`, { body, type: "application/x-tar" });
    const failed = /"error":"([^"]*)"/.exec(text)?.[1];
    if (status !== 200 || failed) throw new Error(`${image} could not be imported: ${failed ?? text.trim()}`);
  } finally {
    await rm(archive, { force: true });
  }
}
