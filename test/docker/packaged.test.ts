import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterCredentials, ClusterInventory } from "../../components/cluster/inventory";
import { npm } from "../../infra/toolchain/packages.mjs";
import { createWorkspace, type Workspace } from "../engine/workspace";
import { clusterClient, loginOf } from "../support/clients";
import { dockerClient, dockerHost } from "../support/docker";
import { nodesOf } from "../support/dockerProject";
import { inCi } from "../support/servers";

// Proves that a new user's two lines make a cluster from the packed library, as each package manager installs it, and behind another
// library that makes one. What is installed comes from npm's registry.

const run = promisify(execFile);
const repository = resolve(__dirname, "../..");
const INSTALL_MILLISECONDS = 240_000;

interface Packed {
  readonly folder: string;
  /** Archives by package: the library; `mylib`, which makes a cluster; `outer`, which depends on `mylib` alone. */
  readonly archives: Readonly<Record<string, string>>;
}

/** Undefined where the registry cannot be had, which one line says; in CI that is an error. */
async function packed(): Promise<Packed | undefined> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "prc-packed-")));
  try {
    const pack = async (from: string) => {
      const { file, args } = npm();
      const to = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
      const { stdout } = await run(file, [...args, ...to], { cwd: from });
      return join(folder, stdout.trim().split("\n").at(-1) ?? "");
    };
    const library = await pack(repository);
    const peers = { peerDependencies: { "@pulumi/pulumi": "^3.270.0" } };
    const wrap = async (name: string, dependency: string, archive: string, text: string) => {
      const from = join(folder, name);
      mkdirSync(from);
      const dependencies = { [dependency]: `file:${archive}` };
      writeFileSync(
        join(from, "package.json"),
        JSON.stringify({ name, version: "1.0.0", main: "index.js", dependencies, ...peers }),
      );
      writeFileSync(join(from, "index.js"), text);
      return pack(from);
    };
    const mylib = await wrap("mylib", "pulumi-redis-cluster", library, MYLIB);
    const outer = await wrap("outer", "mylib", mylib, 'exports.Cache = require("mylib").Cache;\n');
    const { file, args } = npm();
    const tools = ["install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", "--fetch-retries=1"];
    await run(file, [...args, ...tools, "yarn@1", "pnpm@10"], { timeout: INSTALL_MILLISECONDS });
    return { folder, archives: { "pulumi-redis-cluster": library, mylib, outer } };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (inCi()) throw error;
    process.stderr.write(
      `SKIPPED, tests of the packed library: npm's registry is out of reach (${(error as Error).message})\n`,
    );
    return undefined;
  }
}

const MYLIB = `const pulumi = require("@pulumi/pulumi");
const { DockerRedisCluster } = require("pulumi-redis-cluster/docker");
exports.Cache = class Cache extends pulumi.ComponentResource {
  constructor(name, opts) {
    super("mylib:index:Cache", name, {}, opts);
    this.seeds = new DockerRedisCluster("dev", {}, { parent: this }).seeds;
    this.registerOutputs();
  }
};
`;
const DIRECT = `const { DockerRedisCluster } = require("pulumi-redis-cluster/docker");
module.exports = new DockerRedisCluster("dev");
`;
const BEHIND = (library: string) => `exports.seeds = new (require("${library}").Cache)("cache").seeds;\n`;

const packages = dockerHost === undefined ? undefined : await packed();

/** How each of them installs what a package.json names. */
const MANAGERS: Record<string, (folder: string) => readonly string[]> = {
  npm: () => ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline"],
  "npm, nested": () => ["npm", "install", "--install-strategy=nested", "--no-audit", "--no-fund", "--prefer-offline"],
  pnpm: (tools) => [join(tools, "node_modules/pnpm/bin/pnpm.cjs"), "install", "--prefer-offline"],
  yarn: (tools) => [join(tools, "node_modules/yarn/bin/yarn.js"), "install", "--non-interactive", "--prefer-offline"],
};

/** @returns how many there were */
async function removeVolumes(project: string): Promise<number> {
  const filters = { label: [`pulumi-redis-cluster.owner=${project}/dev/dev`] };
  const volumes = (await dockerClient().listVolumes({ filters })).Volumes ?? [];
  for (const { Name } of volumes) await dockerClient().getVolume(Name).remove();
  return volumes.length;
}

interface Consumer {
  readonly name: string;
  readonly directory: string;
  readonly workspace: Workspace;
  dispose(): void;
}

async function consumer(manager: string, names: readonly string[], program: string): Promise<Consumer> {
  if (!packages) throw new Error("nothing is packed");
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "prc-consumer-")));
  const name = `new-user-${process.pid}`;
  const own = Object.fromEntries(names.map((each) => [each, `file:${packages.archives[each]}`]));
  const manifest = { name, private: true, main: "index.js", dependencies: { "@pulumi/pulumi": "^3.270.0", ...own } };
  writeFileSync(join(directory, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(directory, "index.js"), program);
  const runtime = "runtime: { name: nodejs, options: { typescript: false } }\noptions: { refresh: always }\n";
  writeFileSync(join(directory, "Pulumi.yaml"), `name: ${name}\nmain: index.js\n${runtime}`);
  const [first = "", ...rest] = MANAGERS[manager]?.(packages.folder) ?? [];
  const { file, args } = first === "npm" ? npm() : { file: process.execPath, args: [first] };
  await run(file, [...args, ...rest], { cwd: directory, timeout: INSTALL_MILLISECONDS, maxBuffer: 10 * 2 ** 20 });
  const workspace = await createWorkspace({ program: { directory }, env: { DOCKER_HOST: dockerHost ?? "" } });
  return {
    name,
    directory,
    workspace,
    dispose: () => {
      workspace.dispose();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

describe.skipIf(!packages)("the packed library", { timeout: 500_000 }, () => {
  afterAll(() => packages && rmSync(packages.folder, { recursive: true, force: true }));

  describe("by npm, with two lines", () => {
    let user: Consumer;
    beforeAll(async () => {
      user = await consumer("npm", ["pulumi-redis-cluster"], DIRECT);
    }, 300_000);
    afterAll(() => user?.dispose());

    test("makes a cluster to connect to, has nothing more to do, and takes it away", async () => {
      // Nothing of this checkout.
      expect(realpathSync(join(user.directory, "node_modules/pulumi-redis-cluster"))).toContain(user.directory);
      const up = await user.workspace.up();
      try {
        expect([up.ok, up.ok ? "" : up.stdout + up.stderr]).toEqual([true, ""]);
        const { inventory, credentials } = (await user.workspace.outputs({ showSecrets: true })) as unknown as {
          inventory: ClusterInventory;
          credentials: ClusterCredentials;
        };
        expect(inventory).toMatchObject({ platform: "docker", engine: { name: "redis", version: "8.0" } });
        const client = clusterClient(nodesOf(inventory), loginOf(credentials));
        try {
          for (let i = 0; i < 50; i++) await client.set(`k${i}`, i);
          expect(await client.get("k49")).toBe("49");
        } finally {
          client.disconnect();
        }
        const again = await user.workspace.preview();
        expect([again.ok, again.stdout]).toEqual([true, expect.stringMatching(/Resources:\n {4}\d+ unchanged\n/)]);
      } finally {
        const destroyed = await user.workspace.destroy();
        const kept = await removeVolumes(user.name);
        expect([destroyed.ok, destroyed.ok ? "" : destroyed.stdout]).toEqual([true, ""]);
        // Data stay unless the program says otherwise.
        expect(kept).toBe(6);
      }
    });
  });

  const CASES: readonly (readonly [manager: string, dependency: string])[] = [
    ["npm", "mylib"],
    ["npm, nested", "mylib"],
    ["npm", "outer"],
    ["pnpm", "pulumi-redis-cluster"],
    ["pnpm", "mylib"],
    ["pnpm", "outer"],
    ["yarn", "pulumi-redis-cluster"],
    ["yarn", "mylib"],
  ];
  test.skipIf(!process.env.FULL).for(CASES)(
    "by %s, behind %s: the provider finds it",
    async ([manager, name], context) => {
      const program = name === "pulumi-redis-cluster" ? DIRECT : BEHIND(name);
      const user = await consumer(manager, [name], program);
      context.onTestFinished(() => user.dispose());
      const { ok, stdout, stderr } = await user.workspace.preview();
      expect([ok, ok ? "" : stdout + stderr]).toEqual([true, ""]);
      expect(stdout).not.toContain("warning");
      expect(stdout).toContain("3 replicas follow their masters");
    },
  );

  test.skipIf(!process.env.FULL)(
    "nested behind two libraries: the preview says what to do, and that helps",
    async (context) => {
      const user = await consumer("npm, nested", ["outer"], BEHIND("outer"));
      context.onTestFinished(() => user.dispose());
      const inside = "node_modules/outer/node_modules/mylib/node_modules/pulumi-redis-cluster";
      expect(existsSync(join(user.directory, inside))).toBe(true);
      const failed = await user.workspace.preview();
      expect(failed.ok).toBe(false);
      expect(failed.stdout).toContain("Add pulumi-redis-cluster to the dependencies in the program's own package.json");
      const manifest = JSON.parse(readFileSync(join(user.directory, "package.json"), "utf8"));
      manifest.dependencies["pulumi-redis-cluster"] = `file:${packages?.archives["pulumi-redis-cluster"]}`;
      writeFileSync(join(user.directory, "package.json"), JSON.stringify(manifest));
      const { file, args } = npm();
      const [, ...install] = MANAGERS["npm, nested"]?.("") ?? [];
      await run(file, [...args, ...install], { cwd: user.directory, timeout: INSTALL_MILLISECONDS });
      const { ok, stdout } = await user.workspace.preview();
      expect([ok, ok ? "" : stdout]).toEqual([true, ""]);
      expect(stdout).not.toContain("warning");
    },
  );
});
