import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ask } from "../../support/clients";
import { Project } from "../../support/project";
import { testServers } from "../../support/servers";
import { APP, credentialsOf, fileOf } from "./support";

const servers = await testServers();
const GIVEN = "given-and-not-to-be-seen-1234";

/** Texts by where they were found. */
type Places = Map<string, string>;

/** A secret, as it may lie around. */
function forms(secret: string): string[] {
  const bytes = Buffer.from(secret);
  // Inside of a longer text base64 depends on where it begins; the middle of each of the three is the same.
  const shifted = [0, 1, 2].map((n) =>
    Buffer.concat([Buffer.alloc(n), bytes])
      .toString("base64")
      .slice(n === 0 ? 0 : 4, -4),
  );
  return [secret, bytes.toString("hex"), encodeURIComponent(secret), ...shifted];
}

function findings(places: Places, secrets: Readonly<Record<string, string>>): string[] {
  return [...places].flatMap(([place, text]) =>
    Object.entries(secrets).flatMap(([name, secret]) =>
      forms(secret).some((form) => text.includes(form)) ? [`${name} in ${place}`] : [],
    ),
  );
}

/** Every file below a folder. */
function addFiles(places: Places, folder: string, skip: (file: string) => boolean = () => false): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) addFiles(places, path, skip);
    else if (entry.isFile() && !skip(path)) places.set(path, readFileSync(path, "latin1"));
  }
}

/** Arguments and environments of everything that works in the project's folder or below: engine, program, providers, servers. */
function addProcesses(places: Places, directory: string): void {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      if (!readlinkSync(`/proc/${entry}/cwd`).startsWith(directory)) continue;
      const text = (file: string) => readFileSync(`/proc/${entry}/${file}`, "utf8").replaceAll("\0", " ");
      const command = text("cmdline");
      const name = `${/(dynamic-provider|redis-server|cmd\/run|main\.js)/.exec(command)?.[1] ?? "process"} ${entry}`;
      places.set(`arguments of ${name}`, command);
      places.set(`environment of ${name}`, text("environ"));
    } catch {
      // Gone meanwhile, or not ours to look at.
    }
  }
}

/** Previews and runs while its processes are looked at. */
async function watched(project: Project, places: Places, what: string): Promise<void> {
  const preview = await project.engine.preview();
  places.set(`preview of ${what}`, preview.stdout + preview.stderr);
  const run = await project.start();
  let ended = false;
  const result = run.result.finally(() => {
    ended = true;
  });
  while (!ended) {
    addProcesses(places, project.directory);
    await setTimeout(100);
  }
  const { ok, stdout, stderr } = await result;
  places.set(`output of ${what}`, stdout + stderr);
  expect([ok, ok ? "" : stdout + stderr]).toEqual([true, ""]);
}

describe.skipIf(!servers)("secrets", () => {
  let project: Project;
  const places: Places = new Map();
  const secrets: Record<string, string> = { given: GIVEN };

  async function learn(when: string): Promise<void> {
    const { users, admin } = await credentialsOf(project);
    for (const [name, { password }] of Object.entries(users)) secrets[`${name} ${when}`] = password;
    const [node] = await project.nodes();
    if (!node) throw new Error("no node");
    const [, password] = (await ask(node, admin, "CONFIG", "GET", "masterauth")) as string[];
    secrets[`replication ${when}`] = password ?? "";
  }

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    const args = {
      users: { app: APP, given: { ...APP, password: GIVEN } },
      passwordOverlapSeconds: 0,
      // Everything that a server writes to its slow log, it writes.
      redisConfig: { "slowlog-log-slower-than": "0", "slowlog-max-len": "10000" },
    };
    project = await Project.create(args, servers["redis-7.0"]);
    await watched(project, places, "the first up");
    await learn("at first");
    project.declare({ ...args, passwordRotation: "2" });
    await watched(project, places, "a rotation");
    await learn("after the rotation");
    await watched(project, places, "the end of the former passwords");
    const { admin } = await credentialsOf(project);
    for (const node of await project.nodes()) {
      places.set(`slow log of ${node.name}`, JSON.stringify(await ask(node, admin, "SLOWLOG", "GET", "-1")));
      places.set(`ACL LOG of ${node.name}`, JSON.stringify(await ask(node, admin, "ACL", "LOG")));
      // What everybody may see of a user are hashes.
      places.set(`ACL LIST of ${node.name}`, JSON.stringify(await ask(node, admin, "ACL", "LIST")));
    }
    // A run that fails: its error and the state that it leaves.
    for (const pid of [...(await project.pids()).values()].slice(0, 1)) process.kill(pid, "SIGSTOP");
    project.declare({ ...args, passwordRotation: "3", serverBinary: "/nowhere" });
    const failed = await project.up();
    places.set("output of a run that fails", failed.stdout + failed.stderr);
    for (const pid of (await project.pids()).values()) process.kill(pid, "SIGCONT");
    places.set("state", JSON.stringify(await project.engine.exportStack()));
    places.set("outputs", JSON.stringify(await project.engine.outputs()));
    const handover = join(tmpdir(), `pulumi-redis-cluster-${userInfo().uid}`);
    try {
      addFiles(places, handover);
    } catch {
      // Nothing was left there.
    }
    const declared = join(project.directory, "args.json");
    addFiles(places, project.directory, (file) => file === declared || /\/(node_modules|redis\.conf)(\/|$)/.test(file));
  });
  afterAll(() => project?.dispose());

  test("are in no state, preview, output, argument, environment, log or file but redis.conf", () => {
    expect(Object.keys(secrets)).toHaveLength(11);
    expect(places.size).toBeGreaterThan(60);
    for (const kind of [
      /^arguments of dynamic-provider/,
      /^environment of redis-server/,
      /server\.log$/,
      /users\.acl$/,
      /nodes\.conf$/,
    ])
      expect([kind, [...places.keys()].some((place) => kind.test(place))]).toEqual([kind, true]);
    expect(findings(places, secrets)).toEqual([]);
  });

  test("in redis.conf there is the one that replicas log in with, for its owner's eyes alone", async () => {
    for (const { name } of await project.nodes()) {
      const file = fileOf(project, name, "redis.conf");
      expect(statSync(file).mode & 0o777).toBe(0o600);
      expect(findings(new Map([["redis.conf", readFileSync(file, "utf8")]]), secrets)).toEqual([
        "replication after the rotation in redis.conf",
      ]);
    }
  });

  test("are found where they are: the search itself", async () => {
    const [node] = await project.nodes();
    if (!node) throw new Error("no node");
    const secret = secrets["app at first"] ?? "";
    for (const planted of [
      secret,
      Buffer.from(`x${secret}`).toString("base64"),
      Buffer.from(`user ${secret}!`).toString("base64"),
    ]) {
      const file = fileOf(project, node.name, "planted.txt");
      writeFileSync(file, `something ${planted} else`);
      const found: Places = new Map();
      addFiles(found, project.directory, (each) => !each.endsWith("planted.txt"));
      expect(findings(found, secrets)).toEqual([`app at first in ${file}`]);
    }
    const state = structuredClone(await project.engine.exportStack({ showSecrets: true }));
    expect(findings(new Map([["state", JSON.stringify(state)]]), secrets)).toContain("app after the rotation in state");
  });
});
