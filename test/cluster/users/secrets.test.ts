import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeAuthority } from "../../../components/security/x509";
import { ask, clientTls } from "../../support/clients";
import { Project } from "../../support/project";
import { addFiles, addProcesses, findings, forms, openToOthers, type Places } from "../../support/secrets";
import { testServers } from "../../support/servers";
import { tableOf, tlsOf } from "../tls/support";
import { APP, credentialsOf, fileOf } from "./support";

const servers = await testServers();
const GIVEN = "given-and-not-to-be-seen-1234'\"\\ #ü";

const isKey = (file: string) => file.endsWith(".key");

/** Previews, and runs while its processes are looked at. */
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
    await setTimeout(250);
  }
  const { ok, stdout, stderr } = await result;
  places.set(`output of ${what}`, stdout + stderr);
  expect([ok, ok ? "" : stdout + stderr]).toEqual([true, ""]);
}

describe.skipIf(!servers)("secrets of a strict cluster", () => {
  let project: Project;
  const places: Places = new Map();
  const secrets: Record<string, string> = { given: GIVEN };
  /** Names of key files of a node, at each time. */
  const keyFiles: string[][] = [];

  const inFolderOf = (node: string) => dirname(fileOf(project, node, "redis.conf"));
  const admin = async () => ({
    ...(await credentialsOf(project)).admin,
    tls: clientTls(await tlsOf(project)),
  });

  async function learn(when: string): Promise<void> {
    const note = (name: string, password: string) => {
      if (!Object.values(secrets).includes(password)) secrets[`${name} ${when}`] = password;
    };
    const { users } = await credentialsOf(project);
    for (const [name, { password }] of Object.entries(users)) note(name, password);
    const [node] = await project.nodes();
    if (!node) throw new Error("no node");
    const [, password] = (await ask(node, await admin(), "CONFIG", "GET", "masterauth")) as string[];
    note("replication", password ?? "");
    const { authorities, nodes, clients } = await tableOf(project);
    for (const { generation, keyPem } of authorities) secrets[`key of authority ${generation}`] = keyPem ?? "";
    for (const [owner, made] of [...Object.entries(nodes), ...Object.entries(clients)])
      for (const { fingerprint, keyPem } of made) secrets[`key of ${owner} ${fingerprint.slice(0, 16)}`] = keyPem;
    keyFiles.push(readdirSync(join(inFolderOf(node.name), "tls")).filter(isKey));
  }

  function addAllFiles(into: Places): void {
    const declared = join(project.directory, "args.json");
    addFiles(into, project.directory, (file) => file === declared || /\/node_modules\//.test(file));
  }

  beforeAll(async () => {
    if (!servers) throw new Error("no servers");
    const args = {
      users: { app: APP, given: { ...APP, password: GIVEN } },
      tls: { clients: ["billing"], overlapSeconds: 0 },
      passwordOverlapSeconds: 0,
      // Everything that a server writes to its slow log, it writes.
      redisConfig: { "slowlog-log-slower-than": "0", "slowlog-max-len": "10000", loglevel: "debug" },
    };
    project = await Project.create(args, servers["redis-7.0"]);
    await watched(project, places, "the first up");
    await learn("at first");
    const rotated = { ...args, passwordRotation: "2", tls: { ...args.tls, rotation: "2" } };
    project.declare(rotated);
    const json = await project.engine.preview({ flags: ["--json"] });
    expect(JSON.parse(json.stdout)).toMatchObject({ steps: expect.any(Array) });
    places.set("preview of a rotation, as JSON", json.stdout + json.stderr);
    await watched(project, places, "a rotation");
    await learn("after the rotation");
    await watched(project, places, "the end of the former passwords");
    const again = { ...rotated, tls: { ...args.tls, rotation: "3", authorityRotation: "2" } };
    project.declare(again);
    await project.mustUp();
    await learn("with another authority");
    const login = await admin();
    for (const node of await project.nodes()) {
      places.set(`slow log of ${node.name}`, JSON.stringify(await ask(node, login, "SLOWLOG", "GET", "-1")));
      places.set(`ACL LOG of ${node.name}`, JSON.stringify(await ask(node, login, "ACL", "LOG")));
      // What everybody may see of a user are hashes.
      places.set(`ACL LIST of ${node.name}`, JSON.stringify(await ask(node, login, "ACL", "LIST")));
    }
    // Runs that fail: their errors, and the state that they leave.
    const own = await makeAuthority({ commonName: "own", days: 30, now: new Date() });
    const other = await makeAuthority({ commonName: "other", days: 30, now: new Date() });
    Object.assign(secrets, { "key of another": other.keyPem });
    project.declare({ ...again, tls: { ...again.tls, authority: { ...own, keyPem: other.keyPem } } });
    const refused = await project.up();
    expect([refused.ok, refused.stdout + refused.stderr]).toEqual([false, expect.stringMatching(/is not the key of/)]);
    places.set("output of a run that is refused", refused.stdout + refused.stderr);
    const [frozen = 0] = (await project.pids()).values();
    process.kill(frozen, "SIGSTOP");
    project.declare({ ...again, passwordRotation: "3" });
    const failed = await project.up();
    process.kill(frozen, "SIGCONT");
    expect(failed.ok).toBe(false);
    places.set("output of a run that fails", failed.stdout + failed.stderr);
    places.set("state", JSON.stringify(await project.engine.exportStack()));
    places.set("outputs", JSON.stringify(await project.engine.outputs()));
    try {
      addFiles(places, join(tmpdir(), `pulumi-redis-cluster-${userInfo().uid}`));
    } catch {
      // Nothing was left there.
    }
    addAllFiles(places);
  }, 600_000);
  afterAll(() => project?.dispose());

  test("are in no state, preview, output, argument, environment, log or file but redis.conf and the node's own keys", async () => {
    // Two authorities; 6 nodes and 3 clients; passwords of 5 users at three times.
    expect(Object.keys(secrets).length).toBeGreaterThan(2 + 9 * 3 + 5);
    expect(places.size).toBeGreaterThan(80);
    for (const kind of [
      ...[/^arguments of dynamic-provider/, /^environment of redis-server/, /server\.log$/, /users\.acl$/],
      ...[/nodes\.conf$/, /\/tls\/ca-.*\.crt$/, /\/tls\/node-.*\.crt$/, /as JSON$/, /^slow log/],
    ])
      expect([kind, [...places.keys()].some((place) => kind.test(place))]).toEqual([kind, true]);
    const allowed = (place: string) => /\/(redis\.conf|tls\/node-[0-9a-f]{16}\.key)$/.test(place);
    expect(findings(new Map([...places].filter(([place]) => !allowed(place))), secrets)).toEqual([]);
  });

  test("in redis.conf there is the one that replicas log in with, in a key file the key of its node, for the owner's eyes alone", async () => {
    const folders = (await project.nodes()).map(({ name }) => [name, inFolderOf(name)] as const);
    for (const [name, folder] of folders) {
      const config = join(folder, "redis.conf");
      expect(findings(new Map([["redis.conf", readFileSync(config, "utf8")]]), secrets)).toEqual([
        "replication after the rotation in redis.conf",
      ]);
      for (const file of readdirSync(join(folder, "tls")).filter(isKey)) {
        const own = `key of ${name} ${file.slice("node-".length, -".key".length)}`;
        const text = readFileSync(join(folder, "tls", file), "utf8");
        expect(findings(new Map([[file, text]]), secrets)).toEqual([`${own} in ${file}`]);
        expect(statSync(join(folder, "tls", file)).mode & 0o777).toBe(0o600);
      }
      expect(statSync(join(folder, "tls")).mode & 0o777).toBe(0o700);
      expect(openToOthers(folder, (file) => file !== folder)).toEqual([]);
    }
  });

  test("keys of nodes go once nothing may need them: one before the present one is kept of each authority", async () => {
    const [first = [], second = [], third = []] = keyFiles;
    expect([first.length, second.length]).toEqual([1, 2]);
    // The one that may be shown still, in case the last run was cut off before it came to this node.
    expect(second).toEqual(expect.arrayContaining(first));
    // Of the former authority two, and of the new one its first.
    expect(third).toHaveLength(3);
    expect(third).not.toEqual(expect.arrayContaining(first));
  });

  describe("are found where they are: the search itself, in each kind of place", () => {
    const found = (kind: Places) => findings(kind, { "app at first": secrets["app at first"] ?? "", ...keys() });
    const keys = () =>
      Object.fromEntries(
        Object.entries(secrets)
          .filter(([name]) => name.startsWith("key of billing"))
          .slice(-1),
      );
    const keyName = () => Object.keys(keys())[0] ?? "";
    const planted = () => [secrets["app at first"] ?? "", Object.values(keys())[0] ?? ""];
    const both = (place: string) => [`app at first in ${place}`, `${keyName()} in ${place}`].sort();

    test("in every form of it", () => {
      for (const secret of planted()) {
        expect(forms(secret).length).toBeGreaterThan(8);
        const bytes = Buffer.from(secret);
        for (const form of [
          ...[secret, JSON.stringify(secret), JSON.stringify({ text: JSON.stringify({ secret }) })],
          ...[encodeURIComponent(secret), `'${secret}'`, secret.replaceAll("\n", "\\n"), secret.replaceAll("\n", "")],
        ])
          expect([form, found(new Map([["text", `before ${form} after`]]))]).toEqual([form, [expect.any(String)]]);
        if (!secret.startsWith("-----"))
          for (const form of [bytes.toString("hex"), Buffer.from(`x${secret}`).toString("base64")])
            expect(found(new Map([["text", form]]))).toHaveLength(1);
      }
      const der = Buffer.from((planted()[1] ?? "").split("\n").slice(1, -2).join(""), "base64");
      for (const form of [der.toString("hex"), der.toString("base64"), der.toString("latin1")])
        expect(found(new Map([["text", `x${form}x`]]))).toEqual([`${keyName()} in text`]);
      // What anybody may see of a key is no finding.
      const certificates = readdirSync(join(inFolderOf("sessions-0-zone-a"), "tls")).filter((f) => f.endsWith(".crt"));
      expect(certificates.length).toBeGreaterThan(2);
    });

    test("in a state that tells secrets", async () => {
      const state = JSON.stringify(await project.engine.exportStack({ showSecrets: true }));
      expect(found(new Map([["state", state]]))).toEqual(expect.arrayContaining([`${keyName()} in state`]));
      expect(findings(new Map([["state", state]]), secrets).length).toBeGreaterThan(20);
    });

    test("in a log, and in a file of its own", () => {
      const log = fileOf(project, "sessions-0-zone-a", "server.log");
      const before = readFileSync(log);
      appendFileSync(log, `debug: ${JSON.stringify(planted())}\n`);
      const file = join(project.directory, "left behind.txt");
      writeFileSync(file, planted().join("\n"));
      const files: Places = new Map();
      addAllFiles(files);
      const seen = found(files);
      rmSync(file);
      writeFileSync(log, before);
      for (const place of [log, file]) expect(seen).toEqual(expect.arrayContaining(both(place)));
      const places: Places = new Map();
      addAllFiles(places);
      expect(found(places).filter((each) => !/redis\.conf$|\.key$/.test(each))).toEqual([]);
    });

    test("in the arguments and in the environment of a process", async () => {
      for (const [kind, args, env] of [
        ["arguments", planted(), {}],
        ["environment", [], { PLANTED: planted().join() }],
      ] as const) {
        const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", ...args], {
          cwd: project.directory,
          env: { ...env },
          stdio: "ignore",
        });
        try {
          const running: Places = new Map();
          for (; !running.has(`environment of process ${child.pid}`); await setTimeout(10))
            addProcesses(running, project.directory);
          expect(found(running)).toEqual(both(`${kind} of process ${child.pid}`));
        } finally {
          child.kill("SIGKILL");
          await once(child, "exit");
        }
      }
    });

    test("in a preview, as text and as JSON", async () => {
      const program = join(project.directory, "index.js");
      const text = readFileSync(program, "utf8");
      writeFileSync(program, `${text}console.log(${JSON.stringify(planted().join("\n"))});\n`);
      try {
        for (const flags of [[], ["--json"]]) {
          const { stdout, stderr } = await project.engine.preview({ flags });
          expect(found(new Map([["preview", stdout + stderr]]))).toEqual(both("preview"));
        }
      } finally {
        writeFileSync(program, text);
      }
    });

    test("in a key that others may read", () => {
      const folder = inFolderOf("sessions-0-zone-a");
      const key = join(folder, "tls", readdirSync(join(folder, "tls")).find(isKey) ?? "");
      chmodSync(key, 0o644);
      expect(openToOthers(folder, isKey)).toEqual([`${key} 644`]);
      chmodSync(key, 0o600);
      expect([basename(key), existsSync(key), openToOthers(folder, isKey)]).toEqual([basename(key), true, []]);
    });
  });
});
