import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type Bench, createBench } from "./lifecycle";
import { Passphrase } from "./secrets";
import { cliAvailable, createWorkspace } from "./workspace";

// Proves that a stack belongs to the engine that made it, and how it moves to the CLI.

const shape = [
  { name: "a", secret: "open-sesame" },
  { name: "b", links: ["a"] },
];

describe("a stack of the hermetic engine", () => {
  let bench: Bench;
  afterEach(() => bench.dispose());

  test("exports what it holds, and takes it back", { timeout: 60_000 }, async () => {
    bench = await createBench("hermetic");
    await bench.run("up", shape);
    const file = path.join(bench.workspace.directory, "state.json");
    expect((await bench.workspace.command(["stack", "export", "--file", file])).ok).toBe(true);
    const exported = JSON.parse(fs.readFileSync(file, "utf8"));
    expect(exported.version).toBe(3);
    expect(exported.deployment.resources[0]).toMatchObject({
      urn: "urn:pulumi:dev::test::pulumi:pulumi:Stack::test-dev",
      custom: false,
      type: "pulumi:pulumi:Stack",
    });
    expect(exported.deployment.secrets_providers).toMatchObject({ type: "passphrase" });
    expect(JSON.stringify(exported)).not.toContain("open-sesame");
    await bench.run("destroy", []);
    expect(await bench.names()).toEqual([]);
    expect((await bench.workspace.command(["stack", "import", "--file", file])).ok).toBe(true);
    const again = await bench.run("up", shape);
    expect(again.ok, again.stdout).toBe(true);
    expect(again.calls).toEqual([]);
  });

  test.skipIf(!cliAvailable())("moves to the CLI, and back", { timeout: 120_000 }, async () => {
    bench = await createBench("hermetic");
    await bench.run("up", shape);
    const file = path.join(bench.workspace.directory, "state.json");
    await bench.workspace.command(["stack", "export", "--file", file]);
    const cli = await createWorkspace({ program: { directory: bench.workspace.directory }, engine: "cli" });
    try {
      expect((await cli.command(["stack", "import", "--stack", "dev", "--file", file])).ok).toBe(true);
      const calls = path.join(bench.workspace.directory, "..", "calls");
      const up = await cli.up({ env: { SHAPE: JSON.stringify(shape), CALLS: calls } });
      expect(up.ok, up.stdout).toBe(true);
      expect(up.stdout).toContain("3 unchanged");
      await cli.command(["stack", "export", "--stack", "dev", "--file", file]);
      expect((await bench.workspace.command(["stack", "import", "--file", file])).ok).toBe(true);
      expect((await bench.run("up", shape)).calls).toEqual([]);
    } finally {
      cli.dispose();
    }
  });

  test("is not taken for one of the CLI, nor the other way round", { timeout: 60_000 }, async () => {
    bench = await createBench("hermetic");
    const foreign = path.join(bench.workspace.backend, ".pulumi", "stacks", "test", "dev.json");
    fs.mkdirSync(path.dirname(foreign), { recursive: true });
    fs.writeFileSync(foreign, "{}");
    const refused = await bench.run("up", shape);
    expect(refused.ok).toBe(false);
    expect(refused.stderr).toContain("was made by the Pulumi CLI");
    expect(refused.stderr).toContain("stack import");
    expect(refused.calls).toEqual([]);
  });

  test("does not open with another passphrase", { timeout: 60_000 }, async () => {
    bench = await createBench("hermetic");
    await bench.run("up", shape);
    const wrong = await bench.run("up", shape, { env: { PULUMI_CONFIG_PASSPHRASE: "other" } });
    expect(wrong.exitCode).toBe(255);
    expect(wrong.stderr).toContain("incorrect passphrase");
    const file = path.join(bench.workspace.directory, "passphrase");
    fs.writeFileSync(file, "test\n");
    const env = { PULUMI_CONFIG_PASSPHRASE_FILE: file, PULUMI_CONFIG_PASSPHRASE: undefined as unknown as string };
    expect((await bench.run("up", shape, { env })).ok).toBe(true);
  });

  test("shows its outputs, secrets only when asked", { timeout: 60_000 }, async () => {
    bench = await createBench("hermetic");
    const up = await bench.run("up", shape, {
      env: { EXTRA: "({ word: pulumi.secret('hush'), nested: { list: [1] } })" },
    });
    expect(up.stdout).toContain("word     : [secret]");
    expect(await bench.workspace.outputs()).toEqual({
      addresses: ["at-a", "at-b"],
      word: "[secret]",
      nested: { list: [1] },
    });
    expect(await bench.workspace.outputs({ showSecrets: true })).toMatchObject({ word: "hush" });
  });

  test("keeps configuration beside the program, secret values encrypted", { timeout: 60_000 }, async () => {
    bench = await createBench("hermetic");
    await bench.workspace.command(["config", "set", "size", "3"]);
    await bench.workspace.command(["config", "set", "--secret", "word", "hush"]);
    const text = fs.readFileSync(path.join(bench.workspace.directory, "Pulumi.dev.yaml"), "utf8");
    expect(text).toContain("test:size: '3'");
    expect(text).not.toContain("hush");
    expect((await bench.workspace.command(["config", "get", "word"])).stdout).toBe("hush\n");
    expect((await bench.workspace.command(["config"])).stdout).toBe("test:size\t3\ntest:word\t[secret]\n");
    const env = {
      EXTRA: "({ size: new pulumi.Config().requireNumber('size'), word: new pulumi.Config().requireSecret('word') })",
    };
    await bench.run("up", [], { env });
    expect(await bench.workspace.outputs({ showSecrets: true })).toMatchObject({ size: 3, word: "hush" });
  });

  test("equal previews are equal, as text and as JSON", { timeout: 90_000 }, async () => {
    bench = await createBench("hermetic");
    const many = ["a1", "a2", "a10", "b"].map((name) => ({ name }));
    await bench.run("up", many);
    const changed = many.map((thing) => ({ ...thing, version: "2", replaceOn: thing.name === "b" ? ["version"] : [] }));
    const [first, second] = [await bench.run("preview", changed), await bench.run("preview", changed)];
    expect(first.stdout).toBe(second.stdout);
    const names = [...first.stdout.matchAll(/Resource (\S+) (update|replace)/g)].map((match) => match[1]);
    expect(names).toEqual(["a1", "a2", "a10", "b"]);
    const [one, two] = [
      await bench.run("preview", changed, { flags: ["--json"] }),
      await bench.run("preview", changed, { flags: ["--json"] }),
    ];
    expect(one.stdout).toBe(two.stdout);
    expect(JSON.parse(one.stdout).changeSummary).toEqual({ same: 1, update: 3, replace: 1 });
  });
});

test("a secret written by the CLI can be read", () => {
  // Made by the CLI 3.260 with the passphrase "x": the lines of a Pulumi.<stack>.yaml.
  const salt = "v1:7NgP365YLmU=:v1:Set1yZygTyct8hpr:+xMVNELulNQR/LGEUm4g/bVQpI/b9w==";
  expect(Passphrase.open("x", salt).decrypt("v1:YAOoFWG+P1z/DTMS:UgaFiZvDO5IvfENZLO6mp0QuDRE=")).toBe("hush");
  expect(() => Passphrase.open("y", salt)).toThrow("incorrect passphrase");
});

test("what was derived is kept for a test workspace alone, under a name that tells nothing without its mark", () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "keys-"));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    fs.rmSync(folder, { recursive: true, force: true });
  });
  vi.stubEnv("HERMETIC_ENGINE_KEYS", folder);
  vi.stubEnv("WORKSPACE_MARK", undefined);
  const { salt } = Passphrase.create("x");
  expect(fs.readdirSync(folder)).toEqual([]);
  for (const mark of ["one", "another"]) {
    vi.stubEnv("WORKSPACE_MARK", mark);
    expect(Passphrase.open("x", salt).salt).toBe(salt);
    // From the folder now.
    expect(Passphrase.open("x", salt).salt).toBe(salt);
    expect(() => Passphrase.open("y", salt)).toThrow("incorrect passphrase");
  }
  // Two passphrases, two marks.
  expect(fs.readdirSync(folder)).toHaveLength(4);
});
