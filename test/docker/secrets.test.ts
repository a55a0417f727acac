import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { setTimeout } from "node:timers/promises";
import * as tar from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CertificateTable, isTable } from "../../components/security/certificates";
import { adminLogin, ask } from "../support/clients";
import { dockerClient, dockerHost } from "../support/docker";
import { DockerProject, nodesOf } from "../support/dockerProject";
import { opened } from "../support/project";
import { addFiles, findings, type Places } from "../support/secrets";

// Proves that the secrets of a cluster in Docker are in files of its volumes, for the server's user alone, and in nothing that whoever
// uses the daemon or the host may look at: what is inspected, logs, events, processes, state, output.

const GIVEN = "given-and-not-to-be-seen-1234'\"\\ #ü";
const ARGS = {
  users: {
    app: { keys: ["*"], commands: ["+@read", "+@write"] },
    given: { keys: ["*"], commands: ["+@read"], password: GIVEN },
  },
  tls: { clients: ["billing"], overlapSeconds: 0 },
  passwordOverlapSeconds: 0,
  redisConfig: { loglevel: "debug" },
};

/** Arguments and environments of everything that runs on this host, in containers too. */
function addAllProcesses(places: Places): void {
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const text = (file: string) => readFileSync(`/proc/${pid}/${file}`, "latin1").replaceAll("\0", " ");
      const command = text("cmdline");
      const name = /(redis-cli|redis-server|dynamic-provider|main\.js|containerd-shim|dockerd)/.exec(command)?.[1];
      // The same process may have become another program by the next look.
      for (const [kind, file] of [["arguments", "cmdline"] as const, ["environment", "environ"] as const]) {
        const place = `${kind} of ${name ?? "process"} ${pid}`;
        const before = places.get(place) ?? "";
        const now = file === "cmdline" ? command : text(file);
        if (!before.endsWith(` ${now}`)) places.set(place, `${before} ${now}`.slice(-100_000));
      }
    } catch {
      // Gone meanwhile.
    }
  }
}

/** What `docker inspect` and `docker logs` tell of everything that the daemon has, whoever made it. */
async function addInspected(places: Places): Promise<void> {
  const docker = dockerClient();
  // Other tests' containers come and go.
  const add = async (place: string, ask: Promise<unknown>) => {
    const told = await ask.catch(() => undefined);
    if (told !== undefined) places.set(place, typeof told === "string" ? told : JSON.stringify(told));
  };
  for (const { Id, Names } of await docker.listContainers({ all: true })) {
    const container = docker.getContainer(Id);
    await add(`container ${Names[0]}`, container.inspect());
    const all = container.logs({ stdout: true, stderr: true, follow: false }).then((log) => log.toString("latin1"));
    await add(`log of container ${Names[0]}`, all);
  }
  for (const { Name } of (await docker.listVolumes()).Volumes ?? [])
    await add(`volume ${Name}`, docker.getVolume(Name).inspect());
  for (const { Name } of await docker.listNetworks()) await add(`network ${Name}`, docker.getNetwork(Name).inspect());
  for (const { Id } of await docker.listImages()) {
    await add(`image ${Id}`, docker.getImage(Id).inspect());
    await add(`history of image ${Id}`, docker.getImage(Id).history());
  }
}

/** What the daemon tells whoever listens, of what was done since then. @param since in seconds */
async function addEvents(places: Places, since: number): Promise<void> {
  const until = Math.ceil(Date.now() / 1000);
  let text = "";
  for await (const piece of await dockerClient().getEvents({ since, until })) text += piece;
  places.set("events", text);
}

/** What a command says in a node's container, by its own user. */
async function inside(container: string, command: string): Promise<string> {
  const exec = await dockerClient()
    .getContainer(container)
    .exec({ Cmd: ["/bin/sh", "-c", command], AttachStdout: true, AttachStderr: true });
  const [answer, stream] = [new PassThrough(), await exec.start({})];
  dockerClient().modem.demuxStream(stream, answer, answer);
  stream.once("end", () => answer.end());
  let text = "";
  for await (const piece of answer) text += piece;
  return text.trim();
}

/** Whatever in a node's folder is not for the server's user alone: mode, owner, path. */
async function openFiles(container: string): Promise<string[]> {
  const all = (await inside(container, "find /data -mindepth 1 -exec stat -c '%a %u:%g %n' {} +")).split("\n");
  expect(all.length).toBeGreaterThan(8);
  return all.filter((line) => !/^[4-7]00 999:999 /.test(line)).sort();
}

describe.skipIf(dockerHost === undefined || process.platform !== "linux")(
  "secrets of a cluster with TLS and users",
  () => {
    const docker = dockerClient();
    const began = Math.floor(Date.now() / 1000);
    const places: Places = new Map();
    const secrets: Record<string, string> = { given: GIVEN };
    let project: DockerProject;

    async function watched(command: "up" | "preview", what: string): Promise<void> {
      const run = project.engine.start(command);
      let ended = false;
      const result = run.result.finally(() => {
        ended = true;
      });
      for (; !ended; await setTimeout(20)) addAllProcesses(places);
      const { ok, stdout, stderr } = await result;
      places.set(`output of ${what}`, stdout + stderr);
      expect([ok, ok ? "" : stdout + stderr]).toEqual([true, ""]);
    }

    async function learn(when: string): Promise<void> {
      const { inventory, credentials } = await project.outputs();
      for (const [name, { password }] of Object.entries(credentials.users ?? {}))
        if (name !== "given") secrets[`${name} ${when}`] = password;
      const [node] = nodesOf(inventory);
      if (!node) throw new Error("no node");
      const [, password = ""] = (await ask(node, adminLogin(credentials), "CONFIG", "GET", "masterauth")) as string[];
      secrets[`replication ${when}`] = password;
      const { resources = [] } = (await project.engine.exportStack({ showSecrets: true })).deployment;
      const [stored] = resources.filter(({ type }) => /ClusterCertificates/.test(String(type)));
      const table = opened((stored?.outputs as { table?: unknown } | undefined)?.table) as CertificateTable;
      if (!isTable(table)) throw new Error("no certificates");
      const { authorities, nodes, clients } = table;
      for (const { generation, keyPem } of authorities) secrets[`key of authority ${generation}`] = keyPem ?? "";
      for (const [owner, made] of [...Object.entries(nodes), ...Object.entries(clients)])
        for (const { fingerprint, keyPem } of made) secrets[`key of ${owner} ${fingerprint.slice(0, 16)}`] = keyPem;
    }

    beforeAll(async () => {
      project = await DockerProject.create("secrets", ARGS);
      await watched("preview", "the first preview");
      await watched("up", "the first up");
      await learn("at first");
      project.declare({ ...ARGS, passwordRotation: "2", tls: { ...ARGS.tls, rotation: "2" } });
      await watched("preview", "the preview of a rotation");
      await watched("up", "a rotation");
      await learn("after the rotation");
      // Until the daemon has asked every node for its health; the same is asked here, where it can be looked at: with a password from its file.
      const containers = [...(await project.containers()).values()];
      const seen = () => [...places.keys()].filter((place) => /^environment of redis-cli/.test(place)).length;
      const healthy = async () =>
        (await Promise.all(containers.map((id) => docker.getContainer(id).inspect()))).every(
          ({ State }) => State.Health?.Status === "healthy",
        );
      for (const end = Date.now() + 120_000; !(await healthy()) || seen() < 5; ) {
        if (Date.now() > end) throw new Error(`not healthy, or not seen how that is asked (${seen()} times)`);
        let answered = false;
        const asked = Promise.all(containers.map((id) => inside(id, "sh /data/health.sh"))).finally(() => {
          answered = true;
        });
        for (; !answered; await setTimeout(5)) addAllProcesses(places);
        await asked;
      }
      await addInspected(places);
      await addEvents(places, began);
      places.set("state", JSON.stringify(await project.engine.exportStack()));
      places.set("outputs", JSON.stringify(await project.engine.outputs()));
      addFiles(places, project.engine.backend);
      const declared = join(project.directory, "args.json");
      addFiles(places, project.directory, (file) => file === declared || file.includes("/node_modules/"));
    }, 600_000);
    afterAll(() => project?.dispose());

    test("are in nothing that is inspected, logged, told, run, stored in plain or printed", () => {
      expect(Object.keys(secrets).length).toBeGreaterThan(2 * 4 + 2 * 8);
      for (const kind of [
        ...[
          /^container \/dev-0/,
          /^log of container \/dev-0/,
          /^volume secrets-.*-dev-/,
          /^network secrets-/,
          /^image /,
        ],
        ...[/^arguments of dynamic-provider/, /^environment of redis-server/, /^environment of redis-cli/, /^events$/],
        ...[/^output of a rotation/, /^state$/, /\/Pulumi\.yaml$/, /stacks\/.*\.json$/],
      ])
        expect([kind, [...places.keys()].some((place) => kind.test(place))]).toEqual([kind, true]);
      expect(places.get("events")).toContain("exec_create: /bin/sh /data/health.sh");
      expect(findings(places, secrets)).toEqual([]);
    });

    test("on the volume they are where they are needed, in files of the server's user alone", async () => {
      for (const [node, container] of await project.containers()) {
        expect([node, await openFiles(container)]).toEqual([node, []]);
        const files: Places = new Map();
        for (const file of (await inside(container, "cd /data && find . -type f")).split("\n"))
          files.set(file.slice(2), await inside(container, `cat '/data/${file.slice(2)}'`));
        const found = findings(files, secrets).map((line) =>
          line.replace(/ [0-9a-f]{16} in tls\/node-.*/, " in its tls"),
        );
        expect([...new Set(found)]).toEqual([
          `key of ${node} in its tls`,
          // Former ones too: a run that is killed may have left the node with any of them.
          "monitor after the rotation in health.logins",
          "monitor at first in health.logins",
          "replication after the rotation in redis.conf",
        ]);
      }
    });

    describe("are found where they are planted: the search itself, in each kind of place", () => {
      const key = () => Object.entries(secrets).find(([name]) => name.startsWith("key of billing"));
      const planted = () => ({ "app at first": secrets["app at first"] ?? "", [key()?.[0] ?? ""]: key()?.[1] ?? "" });
      const text = () => Object.values(planted()).join("\n");
      const both = (place: string) =>
        Object.keys(planted())
          .map((name) => `${name} in ${place}`)
          .sort();
      const found = async (add: (into: Places) => unknown) => {
        const into: Places = new Map();
        await add(into);
        return findings(into, planted());
      };
      const name = `planted-${process.pid}-${randomBytes(3).toString("hex")}`;

      test("a container's label, variable and log; its processes", async () => {
        const Cmd = ["/bin/sh", "-c", `echo "$PLANTED"; exec sleep 300`];
        const container = await docker.createContainer({
          ...{ name, Image: "redis:7.0", Cmd, Labels: { planted: text() }, Env: [`PLANTED=${text()}`] },
          HostConfig: { NetworkMode: "none" },
        });
        try {
          await container.start();
          await expect
            .poll(() => found(addInspected), { timeout: 20_000 })
            .toEqual([...both(`container /${name}`), ...both(`log of container /${name}`)].sort());
          const { State } = await container.inspect();
          expect(await found(addAllProcesses)).toEqual(
            expect.arrayContaining(both(`environment of process ${State.Pid}`)),
          );
        } finally {
          await container.remove({ force: true, v: true });
        }
      });

      test("a volume, a network, an image", async () => {
        const Labels = { planted: text() };
        await docker.createVolume({ Name: name, Labels });
        const network = await docker.createNetwork({ Name: name, Labels, Internal: true });
        const pack = tar.pack();
        pack.entry({ name: "planted" }, "");
        pack.finalize();
        const changes = `LABEL planted=${JSON.stringify(text())}`;
        const made = await docker.importImage(pack as never, { repo: name, tag: "1", changes } as never);
        for await (const _piece of made as unknown as NodeJS.ReadableStream);
        const { Id } = await docker.getImage(`${name}:1`).inspect();
        try {
          const seen = await found(addInspected);
          for (const place of [`volume ${name}`, `network ${name}`])
            expect(seen).toEqual(expect.arrayContaining(both(place)));
          expect(seen).toEqual(expect.arrayContaining([`app at first in image ${Id}`]));
        } finally {
          await docker.getImage(Id).remove();
          await network.remove();
          await docker.getVolume(name).remove();
        }
      });

      test("arguments of a process of the host, and of a command in a container, which the daemon tells of", async () => {
        const child = spawn("/bin/sh", ["-c", "read x", "planted", text()], { stdio: ["pipe", "ignore", "ignore"] });
        try {
          await expect
            .poll(() => found(addAllProcesses), { timeout: 10_000 })
            .toEqual(expect.arrayContaining(both(`arguments of process ${child.pid}`)));
        } finally {
          child.kill("SIGKILL");
          await once(child, "exit");
        }
        const since = Math.floor(Date.now() / 1000);
        const [container = ""] = (await project.containers()).values();
        await inside(container, `: '${text()}'`);
        await expect.poll(() => found((into) => addEvents(into, since)), { timeout: 10_000 }).toEqual(both("events"));
      });

      test("the state, where it tells secrets, and what a preview prints", async () => {
        const state = JSON.stringify(await project.engine.exportStack({ showSecrets: true }));
        expect(findings(new Map([["state", state]]), secrets).length).toBeGreaterThan(20);
        const program = join(project.directory, "index.js");
        const before = readFileSync(program, "utf8");
        writeFileSync(program, `${before}console.log(${JSON.stringify(text())});\n`);
        try {
          const { stdout, stderr } = await project.engine.preview();
          expect(findings(new Map([["preview", stdout + stderr]]), planted())).toEqual(both("preview"));
        } finally {
          writeFileSync(program, before);
        }
      });

      test("a file on the volume that others may read", async () => {
        const [container = ""] = (await project.containers()).values();
        await inside(container, "chmod 644 /data/health.logins");
        expect(await openFiles(container)).toEqual(["644 999:999 /data/health.logins"]);
        await inside(container, "chmod 600 /data/health.logins");
        expect(await openFiles(container)).toEqual([]);
      });
    });
  },
);
