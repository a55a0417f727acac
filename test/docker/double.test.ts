import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createWorkspace, enginesHere, type RunResult, type Workspace } from "../engine/workspace";
import { dockerClient, dockerHost } from "../support/docker";
import { onlyInFull } from "../support/full";

// Proves that the double makes, finds, changes and removes what the program declares, on a real daemon, and sees what others changed.

/** SHAPE holds arguments; a value "@net.name" is that output of another resource. */
const program = `
const pulumi = require("@pulumi/pulumi");
const docker = require("@pulumi/docker");
const made = {};
const value = (item) => {
  if (typeof item === "string" && item.startsWith("@")) { const [name, key] = item.slice(1).split("."); return made[name][key]; }
  if (typeof item === "string" && item.startsWith("#")) return pulumi.secret(item.slice(1));
  if (Array.isArray(item)) return item.map(value);
  if (item && typeof item === "object") return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, value(inner)]));
  return item;
};
const provider = process.env.HOST ? new docker.Provider("mine", { host: process.env.HOST }) : undefined;
for (const [name, [type, args]] of Object.entries(JSON.parse(process.env.SHAPE || "{}")))
  made[name] = new docker[type](name, value(args), { provider });
module.exports = Object.fromEntries(Object.entries(made).map(([name, resource]) => [name, {
  id: resource.id, name: resource.name, networkDatas: resource.networkDatas, mustRun: resource.mustRun,
  imageId: resource.imageId, mountpoint: resource.mountpoint, ipamConfigs: resource.ipamConfigs, driver: resource.driver,
}]));
`;

type Shape = Record<string, readonly [type: string, args: Record<string, unknown>]>;
type Outputs = Record<string, Record<string, never>>;

const docker = dockerClient();
const image = "redis:7.0";
const subnet = "10.219.64.0/24";

describe.skipIf(dockerHost === undefined).each(enginesHere("docker"))(
  "Docker's provider on %s",
  { timeout: 120_000 },
  (engine) => {
    let workspace: Workspace;
    let shape: Shape = {};

    beforeEach(async () => {
      const env = { DOCKER_HOST: dockerHost ?? "" };
      workspace = await createWorkspace({ program: { source: program, name: "double" }, env, engine });
    });
    afterEach(async () => {
      const result = await workspace.destroy({ env: { SHAPE: JSON.stringify(shape) } });
      workspace.dispose();
      expect(result.stdout).not.toContain("error");
      expect(result.ok).toBe(true);
    });

    const run = (command: "up" | "preview" | "refresh", next = shape, env = {}): Promise<RunResult> => {
      shape = next;
      return workspace[command]({ env: { SHAPE: JSON.stringify(next), ...env } });
    };
    const up = async (next: Shape = shape, env = {}) => {
      const result = await run("up", next, env);
      if (!result.ok) throw new Error(result.stdout + result.stderr);
      return result;
    };
    const outputs = async () => (await workspace.outputs({ showSecrets: true })) as Outputs;
    /** What a run did to resources, without the stack and the providers. */
    const did = ({ operations }: RunResult) =>
      operations
        .filter((line) => line.startsWith("pre ") && !line.startsWith("pre same") && line.includes("docker:index"))
        .map((line) => line.slice(4));
    const idOf = async (name: string) => String((await outputs())[name]?.id);
    const sleeper = (more: Record<string, unknown> = {}): Shape[string] => [
      "Container",
      { image, command: ["sleep", "1000"], destroyGraceSeconds: 0, ...more },
    ];

    test("a network, a volume, an image and a container, declared, found unchanged and removed", async () => {
      const declared: Shape = {
        net: ["Network", { ipamConfigs: [{ subnet, gateway: "10.219.64.1" }], labels: [{ label: "a", value: "b" }] }],
        vol: ["Volume", { labels: [{ label: "a", value: "b" }] }],
        img: ["RemoteImage", { name: image, keepLocally: true }],
        box: sleeper({
          image: "@img.imageId",
          user: "999:999",
          envs: ["#PASSWORD=hush-hush"],
          memory: 64,
          memorySwap: 64,
          cpus: "0.5",
          init: true,
          hostname: "box",
          stopTimeout: 3,
          stopSignal: "SIGINT",
          restart: "unless-stopped",
          tmpfs: { "/run": "rw,size=1048576" },
          sysctls: { "net.core.somaxconn": "1024" },
          ulimits: [{ name: "nofile", soft: 1000, hard: 2000 }],
          capabilities: { drops: ["ALL"] },
          securityOpts: ["no-new-privileges"],
          logDriver: "json-file",
          logOpts: { "max-size": "1m" },
          labels: [{ label: "instance", value: "1" }],
          mounts: [{ type: "volume", target: "/data", source: "@vol.name" }],
          networksAdvanced: [{ name: "@net.name", ipv4Address: "10.219.64.10", aliases: ["one"] }],
          uploads: [
            { file: "/etc/own.conf", content: "hello", permissions: "0400", owner: "999", group: "999" },
            { file: "/etc/bytes", contentBase64: "AAE=" },
          ],
          healthcheck: { tests: ["CMD", "redis-cli", "--version"], interval: "1s", timeout: "30s", retries: 3 },
          wait: true,
          waitTimeout: 120,
        }),
      };
      const first = await up(declared);
      expect(did(first).sort()).toEqual(
        ["container:Container::box", "network:Network::net", "remoteImage:RemoteImage::img", "volume:Volume::vol"].map(
          (name) => `create docker:index/${name}`,
        ),
      );
      const { net, vol, img, box } = await outputs();
      expect(box?.id).toMatch(/^[0-9a-f]{64}$/);
      expect(box?.networkDatas).toMatchObject([{ ipAddress: "10.219.64.10", gateway: "10.219.64.1" }]);
      expect(net).toMatchObject({ driver: "bridge", ipamConfigs: [{ subnet, gateway: "10.219.64.1" }] });
      expect(vol?.mountpoint).toContain(String(vol?.name));
      expect(img?.imageId).toMatch(/^sha256:/);
      expect(img?.id).toBe(`${img?.imageId}${image}`);

      const container = await docker.getContainer(String(box?.id)).inspect();
      expect(container.State.Health?.Status).toBe("healthy");
      expect(container.Config).toMatchObject({
        Hostname: "box",
        User: "999:999",
        StopSignal: "SIGINT",
        StopTimeout: 3,
      });
      expect(container.HostConfig).toMatchObject({
        Memory: 64 * 1024 * 1024,
        NanoCpus: 500_000_000,
        Init: true,
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges"],
        Sysctls: { "net.core.somaxconn": "1024" },
        RestartPolicy: { Name: "unless-stopped" },
      });
      expect(Object.values(container.NetworkSettings.Networks)).toHaveLength(1);
      expect(
        await inside(String(box?.id), "id -u; cat /etc/own.conf; ls -n /etc/own.conf; od -An -tx1 /etc/bytes"),
      ).toMatch(/^999\nhello-r-------- +1 999 +999 +5 .*\n 00 01\n$/);

      // No password in the state, in the plain outputs or in what is printed.
      expect(JSON.stringify(await workspace.exportStack())).not.toContain("hush-hush");
      expect(first.stdout + first.stderr).not.toContain("hush-hush");

      expect(did(await up())).toEqual([]);
      const refreshed = await run("refresh");
      expect(refreshed.ok).toBe(true);
      expect(await changed()).toEqual([]);

      const destroyed = await workspace.destroy({ env: { SHAPE: JSON.stringify(shape) } });
      expect(destroyed.ok).toBe(true);
      await expect(docker.getContainer(String(box?.id)).inspect()).rejects.toThrow(/no such container/i);
      await expect(docker.getVolume(String(vol?.name)).inspect()).rejects.toThrow(/no such volume/i);
      await expect(docker.getNetwork(String(net?.id)).inspect()).rejects.toThrow(/no such network|not found/i);
      await expect(docker.getImage(image).inspect()).resolves.toBeDefined();
    });

    /** What a preview would change. */
    const changed = async () => did(await run("preview"));

    test("memory and restart change the container that is there; a label makes another", async () => {
      await up({ box: sleeper({ memory: 64, memorySwap: 128 }) });
      const id = await idOf("box");
      const updated = await up({ box: sleeper({ memory: 32, memorySwap: 64, restart: "always" }) });
      expect(did(updated)).toEqual(["update docker:index/container:Container::box"]);
      expect(await idOf("box")).toBe(id);
      expect((await docker.getContainer(id).inspect()).HostConfig).toMatchObject({
        Memory: 32 * 1024 * 1024,
        RestartPolicy: { Name: "always" },
      });
      const replaced = await up({ box: sleeper({ memory: 32, memorySwap: 64, labels: [{ label: "a", value: "b" }] }) });
      expect(did(replaced).map((line) => line.split(" ")[0])).toEqual([
        "delete-replaced",
        "replace",
        "create-replacement",
      ]);
      expect(await idOf("box")).not.toBe(id);
      await expect(docker.getContainer(id).inspect()).rejects.toThrow(/no such container/i);
    });

    onlyInFull("swap that is left to Docker changes at every run, as with the real provider", async () => {
      await up({ box: sleeper({ memory: 64 }) });
      expect(await changed()).toEqual(["update docker:index/container:Container::box"]);
    });

    onlyInFull("one that was removed is made again, one that was stopped is started", async () => {
      await up({ box: sleeper(), vol: ["Volume", {}] });
      const [id, volume] = [await idOf("box"), await idOf("vol")];
      await docker.getContainer(id).stop({ t: 0 });
      await run("refresh");
      expect((await outputs()).box?.mustRun).toBe(true);
      expect(did(await up())).toEqual(["update docker:index/container:Container::box"]);
      expect((await docker.getContainer(id).inspect()).State.Running).toBe(true);

      await docker.getContainer(id).remove({ force: true });
      await docker.getVolume(volume).remove();
      const refreshed = await run("refresh");
      expect(refreshed.ok).toBe(true);
      expect((await changed()).sort()).toEqual([
        "create docker:index/container:Container::box",
        "create docker:index/volume:Volume::vol",
      ]);
      await up();
      expect(await idOf("box")).not.toBe(id);
    });

    onlyInFull("a stopped container with ports is replaced, not started", async () => {
      await up({ box: sleeper({ ports: [{ internal: 6379, ip: "127.0.0.1" }] }) });
      expect(await changed()).toEqual([]);
      await docker.getContainer(await idOf("box")).stop({ t: 0 });
      await run("refresh");
      expect((await changed()).map((line) => line.split(" ")[0])).toEqual([
        "delete-replaced",
        "replace",
        "create-replacement",
      ]);
    });

    onlyInFull("one that cannot be started is kept in the state, and told", async () => {
      const taken: Shape = { one: sleeper({ name: "double-taken" }) };
      await up(taken);
      const clash = await run("up", { ...taken, two: sleeper({ name: "double-taken" }) });
      expect(clash.ok).toBe(false);
      expect(clash.stdout).toContain('The container name "/double-taken" is already in use');
      const broken = await run("up", { ...taken, two: sleeper({ command: ["/no/such/program"] }) });
      expect(broken.ok).toBe(false);
      expect(broken.stdout).toContain("Unable to start container");
      const { deployment } = await workspace.exportStack();
      const two = deployment.resources?.find(({ urn }) => String(urn).endsWith("::two"));
      expect(two?.id).toMatch(/^[0-9a-f]{64}$/);
      expect(two?.initErrors).toHaveLength(1);
    });

    test("an argument that is wrong stops the run before anything is made", async () => {
      const result = await run("up", { box: sleeper({ gpus: "all", restart: "maybe" }) });
      expect(result.ok).toBe(false);
      if (engine === "hermetic")
        expect(result.stdout).toContain("property gpus value {all} has a problem: not carried out by this double");
      expect(result.stdout).toMatch(/restart value \{maybe\} has a problem|Examine values at 'box.restart'/);
      expect(await docker.listContainers({ all: true, filters: { name: ["box-"] } })).toEqual([]);
      shape = {};
    });

    test("a provider of its own is used, and a daemon that does not answer is named", async () => {
      await up({ vol: ["Volume", {}] }, { HOST: dockerHost, DOCKER_HOST: "unix:///nowhere" });
      await expect(docker.getVolume(await idOf("vol")).inspect()).resolves.toBeDefined();
      const lost = await run("refresh", shape, { HOST: "unix:///nowhere", DOCKER_HOST: "unix:///nowhere" });
      expect(lost.ok).toBe(true);
      const moved = await run("up", { ...shape, more: ["Volume", {}] }, { HOST: "unix:///nowhere" });
      expect(moved.ok).toBe(false);
      expect(moved.stdout).toMatch(
        /please make sure that unix:\/\/\/nowhere is reachable|failed to connect to any docker daemon/,
      );
      const { more: _, ...kept } = shape;
      await up(kept, { HOST: dockerHost });
    });

    test("a file cannot be put into a container that is read-only: it is Docker that refuses", async () => {
      const box = sleeper({ readOnly: true, uploads: [{ file: "/etc/x", content: "x" }] });
      const result = await run("up", { box });
      expect(result.ok).toBe(false);
      expect(result.stdout).toContain(
        "Unable to upload volume content: Error response from daemon: container rootfs is",
      );
    });

    onlyInFull("a task is waited for, and its output kept", async () => {
      const task = sleeper({ command: ["sh", "-c", "echo done; exit 3"], attach: true, logs: true, mustRun: false });
      await up({ task });
      const { deployment } = await workspace.exportStack();
      const found = deployment.resources?.find(({ urn }) => String(urn).endsWith("::task"));
      expect(found?.outputs).toMatchObject({ containerLogs: "done\n", exitCode: 3 });
      expect(await changed()).toEqual([]);
    });

    async function inside(id: string, script: string): Promise<string> {
      const exec = await docker
        .getContainer(id)
        .exec({ Cmd: ["sh", "-c", script], AttachStdout: true, AttachStderr: true, Tty: true });
      const stream = await exec.start({ Tty: true });
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString().replaceAll("\r", "");
    }
  },
);
