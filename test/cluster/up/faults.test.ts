import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXECUTOR_PREFIX } from "../../../components/formation/lock";
import type { Place } from "../../support/clients";
import { until } from "../../support/formation";
import { GatedServer } from "../../support/gate";
import { Project } from "../../support/project";
import { freePort, startServer, testServers } from "../../support/servers";
import { takeTurn } from "../../support/turns";

const servers = await testServers();
const LINUX_ROOT = process.platform === "linux" && process.getuid?.() === 0;

/** Asks one node as an operator. */
type Ask = (node: Place, command: string, ...args: string[]) => Promise<unknown>;

const askOf =
  (project: Project): Ask =>
  (node, command, ...args) =>
    project.ask(node, command, ...args);

/** Whom a node knows, but for what goes on by itself. */
async function membersOf(ask: Ask, node: Place): Promise<string> {
  const lines = String(await ask(node, "CLUSTER", "NODES"))
    .trim()
    .split("\n");
  const members = lines.map((line) => {
    const [id, address, flags = "", master, , , epoch, , ...slots] = line.split(" ");
    return [id, address, flags.replace("myself,", "").replace(",fail?", ""), master, epoch, ...slots].join(" ");
  });
  return members.sort().join("\n");
}

/** What a node knows and holds: to compare before and after a run that must change nothing. */
async function pictureOf(ask: Ask, node: Place): Promise<string> {
  const [members, config, keys] = await Promise.all([
    membersOf(ask, node),
    ask(node, "CONFIG", "GET", "*"),
    ask(node, "DBSIZE"),
  ]);
  return [members, JSON.stringify(config), String(keys)].join("\n");
}

function answers(ask: Ask, node: Place | undefined): Promise<boolean> {
  if (!node) throw new Error("no node");
  return ask(node, "PING").then(
    () => true,
    () => false,
  );
}

describe.skipIf(!servers)(
  "a fault ends in an error that says what was seen and what to do, before anything is made",
  () => {
    const server = servers?.["redis-7.0"];
    let project: Project | undefined;
    afterAll(() => project?.dispose());

    async function failing(args: object, path = server?.path ?? ""): Promise<string> {
      project?.dispose();
      project = await Project.create(args, { path });
      const result = await project.engine.preview();
      expect(result.ok).toBe(false);
      // As people run it: its own preview comes first.
      const up = await project.engine.command(["up", "--stack", "test", "--yes", "--non-interactive"]);
      expect(up.ok).toBe(false);
      expect(project.servers()).toEqual([]);
      const made = (await project.engine.exportStack()).deployment.resources ?? [];
      expect(made.filter((r) => /LocalNode|LocalVolume|ClusterFormation/.test(String(r.type)))).toEqual([]);
      return result.stdout + result.stderr;
    }

    test("several bad arguments: all of them in one preview", async () => {
      const text = await failing({
        masters: 2,
        port: 70000,
        maxmemoryPolicy: "lru-all",
        redisConfig: { "slowlog-max-length": "1" },
      });
      for (const said of [
        /masters: 2 is too few.*use 3 or more/,
        /port: 70000/,
        /maxmemoryPolicy: "lru-all"/,
        /slowlog-max-len\b/,
      ])
        expect(text).toMatch(said);
    });

    test("no server program", async () => {
      const text = await failing({}, "/nowhere/redis-server");
      expect(text).toMatch(
        /REDIS_SERVER: "\/nowhere\/redis-server" is not a server.*install redis-server or valkey-server 7\.0 or newer/,
      );
    });

    test("a port that is in use, where ports were asked for", async () => {
      const port = await freePort("127.0.1.1");
      // The bus port of the second node, of which nobody thinks.
      const holder = createServer().listen({ host: "127.0.2.1", port: port + 1 + 10_000 });
      try {
        const text = await failing({ port });
        expect(text).toMatch(
          new RegExp(
            `sessions-0-zone-b: cluster bus port 127\\.0\\.2\\.1:${port + 1 + 10_000} is in use by .*pid ${process.pid}.*free it, or choose another`,
          ),
        );
      } finally {
        holder.close();
      }
    });
  },
);

describe.skipIf(!servers)("a fault while the cluster is made", () => {
  const server = servers?.["redis-7.0"];

  test.skipIf(!LINUX_ROOT)(
    "a full disk: named, with the node; once there is room, up goes on from there",
    async ({ onTestFinished }) => {
      if (!server) throw new Error("no server");
      const project = await Project.create({}, server);
      const disk = join(project.directory, ".local/data");
      mkdirSync(disk, { recursive: true });
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=100k", "tmpfs", disk]);
      onTestFinished(async () => {
        for (const { pid } of project.servers()) process.kill(pid, "SIGKILL");
        await setTimeout(100);
        execFileSync("umount", ["-l", disk]);
        project.dispose();
      });
      // What has no server yet keeps its port all the same: no other test may choose it until then.
      const end = await takeTurn();
      onTestFinished(end);
      const result = await project.engine.up();
      expect(result.ok).toBe(false);
      expect(result.stdout).toMatch(
        /error: (sessions-\d-zone-\w did not start: )?no space left on the disk that holds \S+sessions-\d-zone-\w; free some, or set `directory`/,
      );
      // What was made stays, unformed.
      for (const { node } of project.servers())
        expect(await project.ask(project.endpoint(node), "CLUSTER", "INFO")).toMatch(
          /cluster_slots_assigned:0[\s\S]*cluster_known_nodes:1\r/,
        );

      execFileSync("mount", ["-o", "remount,size=50m", disk]);
      expect(await project.engine.up()).toMatchObject({ ok: true });
      end();
      expect(project.servers()).toHaveLength(6);
      for (const node of await project.nodes()) expect(await project.check(node)).toMatchObject({ ok: true });
    },
  );

  test("a node with data in place of a blank one: named, with its keys, and the others stay blank", async ({
    onTestFinished,
  }) => {
    if (!server) throw new Error("no server");
    const project = await Project.create({}, server);
    onTestFinished(() => project.dispose());
    const run = await project.start();
    await run.until(/LocalNode \S+ created/, 6);
    run.kill("both");
    await run.result;
    await project.workersGone();
    await project.withNode(project.endpoint("sessions-1-zone-b"), async (client) => {
      await client.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383");
      while (!/cluster_state:ok/.test(String(await client.call("CLUSTER", "INFO")))) await setTimeout(50);
      await client.set("somebody's", "data");
    });
    await project.engine.command(["cancel"]);
    const others = project
      .servers()
      .flatMap(({ node }) => (node === "sessions-1-zone-b" ? [] : [project.endpoint(node)]));
    const pictures = () => Promise.all(others.map((node) => pictureOf(askOf(project), node)));
    const before = await pictures();
    const result = await project.up();
    expect(result.ok).toBe(false);
    expect(result.stdout).toMatch(
      /nothing was changed, because\s+sessions-1-zone-b already owns slots 0-16383[\s\S]*→ it was used before/,
    );
    expect(await pictures()).toEqual(before);
    expect(await project.ask(project.endpoint("sessions-1-zone-b"), "GET", "somebody's")).toBe("data");
  });

  test.skipIf(!process.env.FULL)(
    "a server that stops answering in the middle of formation: named; nothing temporary stays",
    async ({ onTestFinished }) => {
      if (!server) throw new Error("no server");
      const project = await Project.create({}, server);
      onTestFinished(() => project.dispose());
      const run = await project.start();
      await run.until(/sessions: met \d/);
      const victim = project.servers()[0];
      process.kill(victim?.pid ?? 0, "SIGSTOP");
      const result = await run.result;
      expect(result.ok).toBe(false);
      expect(result.stdout).toMatch(new RegExp(`${victim?.node}.*(does not answer|cannot be reached|no answer)`));
      const timeouts = project
        .servers()
        .flatMap(({ node }) =>
          node === victim?.node ? [] : [project.ask(project.endpoint(node), "CONFIG", "GET", "cluster-node-timeout")],
        );
      for (const timeout of await Promise.all(timeouts)) expect(timeout).toEqual(["cluster-node-timeout", "5000"]);
      process.kill(victim?.pid ?? 0, "SIGCONT");
      await project.mustUp();
      for (const node of await project.nodes()) {
        expect(await project.check(node)).toMatchObject({ ok: true });
        expect(await project.ask(node, "CONFIG", "GET", "cluster-node-timeout")).toEqual([
          "cluster-node-timeout",
          "5000",
        ]);
      }
    },
  );

  test("two stacks that choose the same ports at the same moment: both ups end well, and the next ones find nothing to do", async ({
    onTestFinished,
  }) => {
    if (!server) throw new Error("no server");
    const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), "prc-gate-")));
    const gates = await Promise.all(folders.map((folder) => GatedServer.create(folder, server.path)));
    const projects = await Promise.all(gates.map((gate) => Project.create({}, { ...server, path: gate.path })));
    onTestFinished(() => {
      for (const project of projects) project.dispose();
      for (const folder of folders) rmSync(folder, { recursive: true });
    });
    // The turn is for both: either would wait for the other one's.
    const end = await takeTurn();
    try {
      const ups = projects.map((project) => project.engine.up());
      await Promise.all(gates.map((gate) => gate.reached()));
      const [first, second] = projects.map((project) => project.endpoint(project.servers()[0]?.node ?? ""));
      expect([first?.address, first?.port]).toEqual([second?.address, second?.port]);
      // One after the other, so that the first one's server answers where the second run looks for its own.
      await gates[0]?.open();
      const ask = askOf(projects[0] as Project);
      while (!(await answers(ask, first))) await setTimeout(20);
      await gates[1]?.open();
      for (const up of ups) expect(await up).toMatchObject({ ok: true });
    } finally {
      end();
    }
    const all = await Promise.all(projects.map((project) => project.nodes()));
    expect(new Set(all.flat().map(({ address, port }) => `${address}:${port}`)).size).toBe(12);
    for (const [i, project] of projects.entries()) {
      for (const node of all[i] ?? []) expect(await project.check(node)).toMatchObject({ ok: true });
      expect((await project.mustUp()).stdout).toContain(project.unchanged());
    }
  });

  test("two ups at once: the second is told who has the stack, the first is not disturbed", async ({
    onTestFinished,
  }) => {
    if (!server) throw new Error("no server");
    const project = await Project.create({}, server);
    onTestFinished(() => project.dispose());
    const run = await project.start();
    await run.until(/creating/);
    const second = await project.engine.up();
    expect(second.ok).toBe(false);
    expect(second.stderr).toMatch(/currently locked by 1 lock.*\n.*pid \d+/);
    expect(await run.result).toMatchObject({ ok: true });
    expect(project.servers()).toHaveLength(6);
  });
});

describe.skipIf(!servers)("a fault on a cluster that is there", () => {
  const server = servers?.["redis-7.0"];
  let project: Project;
  beforeAll(async () => {
    if (!server) throw new Error("no server");
    // Short, so that a silent node is given up sooner.
    project = await Project.create({ nodeTimeoutMilliseconds: 2000 }, server);
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  test("a foreign node that met a member: named by ID and address, and nobody is changed", async () => {
    if (!server) throw new Error("no server");
    const foreign = await startServer({
      server,
      conf: "cluster-enabled yes\ncluster-announce-ip 127.0.9.1\n",
      address: "127.0.9.1",
      ...(await project.likeNode("sessions-0-zone-a")),
    });
    const nodes = await project.nodes();
    const id = String(await foreign.ask("CLUSTER", "MYID"));
    const askAll: Ask = (node, command, ...args) =>
      node === foreign ? foreign.ask(command, ...args) : project.ask(node, command, ...args);
    try {
      const [first] = nodes;
      await foreign.ask("CLUSTER", "MEET", first?.address ?? "", String(first?.port), String(first?.busPort));
      // What changes from here on is what the run changes.
      await until("everybody has heard the same of everybody", async () => {
        const seen = await Promise.all([...nodes, foreign].map((node) => membersOf(askAll, node)));
        return new Set(seen).size === 1 && (seen[0] ?? "").includes(id) && !/handshake|slave -/.test(seen[0] ?? "");
      });
      const pictures = () => Promise.all([...nodes, foreign].map((node) => pictureOf(askAll, node)));
      const before = await pictures();
      const result = await project.up();
      expect(result.ok).toBe(false);
      expect(result.stdout).toMatch(
        new RegExp(
          `nothing was changed, because\\s+.*know node ${id} at 127\\.0\\.9\\.1:${foreign.port}, which is not of sessions\\n\\s+→ `,
        ),
      );
      expect(await pictures()).toEqual(before);
    } finally {
      await foreign.stop();
      await Promise.all(nodes.map((node) => project.ask(node, "CLUSTER", "FORGET", id)));
    }
    await project.mustUp();
    expect((await project.mustUp()).stdout).toContain(project.unchanged());
  });

  test.runIf(process.env.FULL)(
    "a server that hangs: named, and nobody is changed; when it goes on, so does up",
    async () => {
      const nodes = await project.nodes();
      const replica = nodes.find((n) => n.role === "replica");
      const pid = (await project.pids()).get(replica?.name ?? "") ?? 0;
      process.kill(pid, "SIGSTOP");
      const others = nodes.filter((n) => n !== replica);
      const result = await (async () => {
        try {
          // Everybody has noticed, so that what changes is what the run changes.
          for (const node of others)
            await project.withNode(node, async (client) => {
              while (!/,fail /.test(String(await client.call("CLUSTER", "NODES")))) await setTimeout(100);
            });
          const pictures = () => Promise.all(others.map((node) => pictureOf(askOf(project), node)));
          const before = await pictures();
          const result = await project.up();
          expect(await pictures()).toEqual(before);
          return result;
        } finally {
          process.kill(pid, "SIGCONT");
        }
      })();
      expect(result.ok).toBe(false);
      expect(result.stdout).toMatch(
        new RegExp(
          `nothing was changed, because\\s+${replica?.name} at ${replica?.address}:${replica?.port} does not answer: it takes the connection, and gives no answer in time\\n\\s+→ look on its host`,
        ),
      );
      await project.mustUp();
      expect((await project.pids()).get(replica?.name ?? "")).toBe(pid);
    },
  );

  test("another executor at work: up waits for it and then goes on", async () => {
    const [first] = await project.nodes();
    if (!first) throw new Error("no node");
    const client = await project.connect(first);
    await client.client("SETNAME", `${EXECUTOR_PREFIX}elsewhere`);
    project.declare({ nodeTimeoutMilliseconds: 2000, redisConfig: { "slowlog-max-len": "78" } });
    const run = await project.start();
    try {
      await run.until(/sessions: waiting for another run to end \(connected from 127/);
      for (const node of await project.nodes())
        expect(await project.ask(node, "CONFIG", "GET", "slowlog-max-len")).toEqual(["slowlog-max-len", "128"]);
    } finally {
      client.disconnect();
    }
    expect(await run.result).toMatchObject({ ok: true });
    for (const node of await project.nodes())
      expect(await project.ask(node, "CONFIG", "GET", "slowlog-max-len")).toEqual(["slowlog-max-len", "78"]);
  });
});
