import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { testServers } from "../../support/servers";
import { ClientCluster } from "../client/support";

const repository = resolve(__dirname, "../../..");
const servers = await testServers();

describe.skipIf(!servers)("examples/application, copied out of this repository", () => {
  test("runs on a cluster with users and TLS, and says nothing but its outcome", async (context) => {
    const program = servers?.["valkey-9.1"];
    if (!program) return;
    const cluster = await ClientCluster.start({
      program,
      tls: "addresses",
      users: { app: "~* &* +@all -@dangerous +info" },
    });
    context.onTestFinished(() => cluster.stop());
    const directory = realpathSync(mkdtempSync(join(tmpdir(), "prc-example-")));
    context.onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    cpSync(join(repository, "examples/application"), directory, { recursive: true });
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Record<string, object>;
    mkdirSync(join(directory, "node_modules/@types"), { recursive: true });
    for (const name of Object.keys({ ...manifest["dependencies"], ...manifest["devDependencies"] }))
      symlinkSync(
        name === "pulumi-redis-cluster" ? repository : join(repository, "node_modules", name),
        join(directory, "node_modules", name),
      );

    const types = await run(repository, ["node_modules/typescript/bin/tsc", "-p", directory]);
    expect(types).toEqual({ code: 0, stdout: "", stderr: "" });
    const outputs = JSON.stringify({ inventory: cluster.inventory(), credentials: cluster.credentials(), seeds: [] });
    for (const visits of ["1", "2"]) {
      const { code, stdout, stderr } = await run(directory, ["index.ts"], outputs);
      expect(stderr).toBe("");
      expect(JSON.parse(stdout)).toEqual({ name: "Ada", visits });
      expect(code).toBe(0);
    }
  });
});

function run(
  cwd: string,
  args: readonly string[],
  input = "",
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((settled, failed) => {
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], { cwd, stdio: "pipe" });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (data) => {
      stdout += data;
    });
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    child.on("error", failed);
    child.on("close", (code) => settled({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}
