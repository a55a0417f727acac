import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { ClusterInventory } from "../../../components/cluster/inventory";
import { redisCliCheck, withNode } from "../../support/clients";
import { isRunning, processes } from "../../support/project";
import { testServers } from "../../support/servers";
import { takeTurn } from "../../support/turns";

// The commands that the README begins with, as somebody types them who has cloned this repository.

const repository = resolve(__dirname, "../../..");
const servers = await testServers();

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a clone of this repository holds, after its packages were installed and its sources compiled. */
class Clone {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), "prc-repository-")));
  readonly #env: NodeJS.ProcessEnv;
  readonly #runs = new Set<ChildProcess>();

  constructor(env: Record<string, string>) {
    // Only what is committed (or about to be): a file that was forgotten is missing here as in any clone.
    const files = execFileSync("git", ["ls-files", "-z"], { cwd: repository, encoding: "utf8" })
      .split("\0")
      .filter((file) => file && existsSync(join(repository, file)));
    // With times to the nanosecond, by which the toolchain knows that nothing has changed since it compiled.
    execFileSync("cp", ["-p", "--parents", ...files, this.directory], { cwd: repository });
    for (const output of ["dist", "build"]) {
      if (existsSync(join(repository, output)))
        execFileSync("cp", ["-Rp", join(repository, output), join(this.directory, output)]);
    }
    const packages = join(this.directory, "node_modules");
    mkdirSync(packages);
    for (const name of readdirSync(join(repository, "node_modules"))) {
      const installed = join(repository, "node_modules", name);
      if (name === ".package-lock.json") copyFileSync(installed, join(packages, name));
      else if (name === ".bin" || !name.startsWith(".")) symlinkSync(installed, join(packages, name));
    }
    const own = /^(PULUMI_|TOOLCHAIN_|npm_)/;
    const inherited = Object.entries(process.env).filter(([name]) => !own.test(name));
    this.#env = { ...Object.fromEntries(inherited), PULUMI_CLI: "hermetic", ...env };
  }

  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** `npm run <command> -- --stack <stack>`, in a process group of its own. */
  run(command: string, stack: string): Promise<Ended> {
    const child = spawn("npm", ["run", "--silent", command, "--", "--stack", stack], {
      cwd: this.directory,
      env: this.#env,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#runs.add(child);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => {
        this.#runs.delete(child);
        resolve({ code, stdout, stderr });
      });
    });
  }

  /** @throws Error with everything the run printed, where it failed */
  async mustRun(command: string, stack: string): Promise<Ended> {
    const ended = await this.run(command, stack);
    if (ended.code !== 0) throw new Error(`npm run ${command}: ${ended.code}\n${ended.stdout}\n${ended.stderr}`);
    return ended;
  }

  /** Servers, which work in their own data's folder. */
  servers(): number[] {
    return processes()
      .filter(({ cwd }) => cwd.startsWith(`${this.path(".local", "data")}/`))
      .map(({ pid }) => pid)
      .sort((a, b) => a - b);
  }

  dispose(): void {
    for (const { pid } of this.#runs) if (pid && isRunning(pid)) process.kill(-pid, "SIGKILL");
    const below = ({ cwd }: { cwd: string }) => cwd === this.directory || cwd.startsWith(`${this.directory}/`);
    for (const { pid } of processes().filter(below)) process.kill(pid, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

// Processes are found and files copied as on Linux.
describe.skipIf(!servers || process.platform !== "linux")("this repository's own commands, in a clone", () => {
  const server = servers?.["redis-7.0"];
  let clone: Clone | undefined;
  afterEach(() => clone?.dispose());

  test("up forms a cluster, status draws it, a changed setting goes from preview to servers, destroy ends all", async () => {
    if (!server?.cliPath) throw new Error("no server, or one without redis-cli");
    clone = new Clone({ REDIS_SERVER: server.path });
    const stack = `clone-${process.pid}`;

    const end = await takeTurn();
    const first = await clone.mustRun("up", stack).finally(end);
    const inventory: ClusterInventory = JSON.parse(
      readFileSync(clone.path(".local", `${stack}.inventory.json`), "utf8"),
    );
    const nodes = inventory.shards.flatMap((shard) => shard.nodes);
    expect(nodes).toHaveLength(6);
    for (const node of nodes) expect(await redisCliCheck(server.cliPath, node)).toMatchObject({ ok: true });
    const pids = clone.servers();
    expect(pids).toHaveLength(6);
    // The line to paste is one that works.
    expect(first.stdout).toContain(`redis-cli -c -h ${nodes[0]?.address} -p ${nodes[0]?.port}\n`);

    const status = await clone.mustRun("status", stack);
    for (const { name } of nodes) expect(status.stdout).toContain(name);

    const again = await clone.mustRun("up", stack);
    expect(again.stdout).toMatch(/Resources:\n {4}\d+ unchanged\n/);
    expect(clone.servers()).toEqual(pids);

    const settings = clone.path("stacks", `Pulumi.${stack}.yaml`);
    const text = readFileSync(settings, "utf8");
    expect(text).toContain("#   maxmemory: 256mb");
    writeFileSync(settings, text.replace("#   maxmemory: 256mb", "    maxmemory: 256mb"));
    const limits = () =>
      Promise.all(nodes.map((node) => withNode(node, (client) => client.config("GET", "maxmemory"))));
    const preview = await clone.mustRun("preview", stack);
    expect(preview.stdout).toMatch(/maxmemory.*256mb/);
    expect(await limits()).toEqual(nodes.map(() => ["maxmemory", "0"]));
    await clone.mustRun("up", stack);
    expect(await limits()).toEqual(nodes.map(() => ["maxmemory", String(256 * 2 ** 20)]));
    expect(clone.servers()).toEqual(pids);

    // As a run leaves it that was killed on a machine of which nothing can be known.
    const project = /^name: (\S+)/m.exec(readFileSync(clone.path("Pulumi.yaml"), "utf8"))?.[1] ?? "";
    const lock = clone.path(".local", "state", ".hermetic", "locks", project, `${stack}.json`);
    const elsewhere = { pid: 1, started: "", user: "somebody", host: `not-${hostname()}`, since: "" };
    writeFileSync(lock, JSON.stringify(elsewhere));
    expect(await clone.run("destroy", stack)).toMatchObject({
      code: 255,
      stderr: expect.stringContaining(elsewhere.host),
    });
    await clone.mustRun("cancel", stack);
    await clone.mustRun("destroy", stack);
    expect(clone.servers()).toEqual([]);
    expect((await clone.run("status", stack)).code).toBe(2);
  });
});
