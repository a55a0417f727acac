import { spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { Cluster } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ioredisOptions } from "../../../components/client";
import { ask } from "../../support/clients";
import { onlyInFull } from "../../support/full";
import { Project } from "../../support/project";
import { type TestServerName, testServers } from "../../support/servers";
import { APP, credentialsOf, fileOf, readOf, usersOnNodes } from "./support";

const servers = await testServers();
const STATUS = join(__dirname, "../../../dist/components/operations/cli/main.js");
const NAMES: readonly TestServerName[] = process.env.FULL
  ? ["redis-7.0", "redis-8.0", "valkey-8.1", "valkey-9.1"]
  : ["redis-7.0"];

describe.skipIf(!servers).each(NAMES)("a closed cluster of %s", (name) => {
  const server = servers?.[name];
  const reports = { keys: ["%R~c*"], commands: ["+@read"], password: "given-for-reports" };
  let project: Project;

  beforeAll(async () => {
    if (!server) throw new Error("no server");
    project = await Project.create({ users: { app: APP, reports } }, server);
    const preview = await project.engine.preview();
    expect(preview.stdout).toContain(
      "users: app, reports, the component's own (admin, monitor, replication); nobody comes in without a password",
    );
    await project.mustUp();
  });
  afterAll(() => project?.dispose());

  test("is formed with generated passwords, and nobody comes in without one", async () => {
    const credentials = await credentialsOf(project);
    expect(credentials).toMatchObject({
      username: "app",
      password: credentials.users["app"]?.password,
      admin: { username: "admin", password: expect.stringMatching(/^[A-Za-z0-9]{32}$/) },
    });
    expect(Object.keys(credentials.users)).toEqual(["admin", "app", "monitor", "reports"]);
    expect(new Set(Object.values(credentials.users).map(({ password }) => password)).size).toBe(4);
    expect(credentials.users["reports"]?.password).toBe("given-for-reports");
    for (const node of await project.nodes()) {
      await expect(ask(node, {}, "PING")).rejects.toThrow("NOAUTH");
      await expect(ask(node, { username: "default", password: "" }, "PING")).rejects.toThrow(/NOAUTH|WRONGPASS/);
      expect(await ask(node, credentials.admin, "CONFIG", "GET", "masteruser")).toEqual(["masteruser", "replication"]);
    }
  });

  test("an application's client uses its keys and commands, and no others; the monitor reads figures only", async () => {
    const { users } = await credentialsOf(project);
    const [node] = await project.nodes();
    if (!node) throw new Error("no node");
    const open = (username: string) =>
      new Cluster([{ host: node.address, port: node.port }], {
        ...ioredisOptions,
        redisOptions: { username, password: users[username]?.password ?? "" },
      });
    const [app, reader] = [open("app"), open("reports")];
    try {
      await app.set("c:1", "x");
      expect(await reader.get("c:1")).toBe("x");
      for (const refused of [
        () => app.set("other", "x"),
        () => app.flushall(),
        () => app.keys("*"),
        () => app.publish("other", "x"),
        () => reader.set("c:1", "y"),
      ])
        await expect(refused()).rejects.toThrow("NOPERM");
      const monitor = { username: "monitor", password: users["monitor"]?.password ?? "" };
      for (const read of [["INFO"], ["CLUSTER", "NODES"], ["LATENCY", "LATEST"], ["SLOWLOG", "GET"]] as const)
        await ask(node, monitor, read[0], ...read.slice(1));
      for (const refused of [
        ["GET", "c:1"],
        ["CONFIG", "GET", "*"],
        ["SLOWLOG", "RESET"],
        ["ACL", "LIST"],
      ] as const)
        await expect(ask(node, monitor, refused[0], ...refused.slice(1))).rejects.toThrow("NOPERM");
    } finally {
      app.disconnect();
      reader.disconnect();
    }
  });

  test("files that hold secrets are their owner's alone", async () => {
    for (const { name: node } of await project.nodes()) {
      for (const file of ["redis.conf", "users.acl"])
        expect([node, file, statSync(fileOf(project, node, file)).mode & 0o777]).toEqual([node, file, 0o600]);
      expect(readOf(project, node, "users.acl")).toMatch(/^user default off /m);
    }
  });

  test("the operations command logs in as who it is told, and says so where it may not", async () => {
    const { admin, users } = await credentialsOf(project);
    const inventory = JSON.stringify(await project.inventory());
    const status = (env: Readonly<Record<string, string>>) =>
      spawnSync(process.execPath, [STATUS, "status", "--inventory", "-"], {
        input: inventory,
        encoding: "utf8",
        env: { PATH: process.env["PATH"] ?? "", ...env },
      });
    const known = status({ REDIS_CLUSTER_USER: admin.username, REDIS_CLUSTER_PASSWORD: admin.password });
    expect([known.status, known.stderr]).toEqual([0, ""]);
    // Least privilege: whoever only looks needs no more.
    const looking = status({
      REDIS_CLUSTER_USER: "monitor",
      REDIS_CLUSTER_PASSWORD: users["monitor"]?.password ?? "",
    });
    expect([looking.status, looking.stderr]).toEqual([0, ""]);
    const unknown = status({});
    expect([unknown.status, unknown.stdout]).toEqual([2, expect.stringContaining("it refuses the login (NOAUTH)")]);
  });

  test("a second up changes nothing", async () => {
    const result = await project.mustUp();
    expect(result.stdout).toMatch(/22 unchanged/);
    expect(result.operations.filter((o) => /^pre (?!same|refresh)/.test(o))).toEqual([]);
  });

  test("users change live, the same on every node, without a restart", async () => {
    const [pids, before] = [await project.pids(), await credentialsOf(project)];
    const declared = { app: { ...APP, keys: ["c*", "{c*", "extra:*"] }, worker: APP };
    project.declare({ users: declared });
    const preview = await project.engine.preview();
    for (const text of [
      "user app: keys: add extra:*",
      "user worker: new",
      "user reports: goes, its sessions end",
      "all 6 nodes: make user worker",
      "all 6 nodes: delete user reports, which is not declared; its sessions end",
    ])
      expect(preview.stdout).toContain(text);
    const changed = preview.operations.filter((o) => /^pre (?!same|refresh)/.test(o));
    expect(changed.filter((o) => !/ClusterFormation|ClusterPasswords/.test(o))).toEqual([]);
    await project.mustUp();
    expect(await project.pids()).toEqual(pids);
    expect([...(await usersOnNodes(project)).keys()].sort()).toEqual([
      "admin",
      "app",
      "default",
      "monitor",
      "replication",
      "worker",
    ]);
    const after = await credentialsOf(project);
    expect(after.admin).toEqual(before.admin);
    expect(after.users["app"]).toEqual(before.users["app"]);
    const result = await project.mustUp();
    expect(result.stdout).toMatch(/22 unchanged/);
  });

  onlyInFull("what was changed by hand is shown by refresh, and mended by up", async () => {
    const { admin } = await credentialsOf(project);
    const [one, two] = await project.nodes();
    if (!one || !two) throw new Error("no nodes");
    await ask(one, admin, "ACL", "SETUSER", "app", "+flushall");
    await ask(one, admin, "ACL", "SETUSER", "intruder", "on", "nopass", "+@all", "~*");
    await ask(two, admin, "ACL", "SETUSER", "default", "on", "nopass");
    await ask(two, admin, "CONFIG", "SET", "masterauth", "wrong");
    const preview = await project.engine.preview();
    for (const text of [
      `user app of ${one.name}: other commands`,
      `user intruder of ${one.name}: not declared`,
      `user default of ${two.name}: enabled, open without a password`,
      `user replication of ${two.name}: not what replicas log in with`,
      `${one.name}: delete user intruder, which is not declared; its sessions end`,
    ])
      expect(preview.stdout).toContain(text);
    await project.mustUp();
    const users = await usersOnNodes(project);
    expect([users.has("intruder"), users.get("default")?.enabled]).toEqual([false, false]);
    expect((await project.mustUp()).stdout).toMatch(/22 unchanged/);
  });

  test("servers that were killed come back with the users that were saved, and the cluster heals", async () => {
    const declared = await usersOnNodes(project);
    const victims = [...(await project.pids()).values()].slice(0, 3);
    await project.whileDown(async () => {
      for (const pid of victims) process.kill(pid, "SIGKILL");
      await project.mustUp();
    });
    expect(await usersOnNodes(project)).toEqual(declared);
    for (const { name: node } of await project.nodes())
      for (const file of ["redis.conf", "users.acl"])
        expect([node, file, statSync(fileOf(project, node, file)).mode & 0o777]).toEqual([node, file, 0o600]);
  });

  test("it stays closed", async () => {
    project.declare({});
    const preview = await project.engine.preview();
    expect([preview.ok, preview.stdout + preview.stderr]).toEqual([
      false,
      expect.stringContaining("a closed cluster stays closed: declare `users` again"),
    ]);
  });
});
