import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createWorkspace, enginesHere, type Workspace } from "./workspace";

// Proves how a program is found and run. The same tests run on the CLI where one is on PATH.

const program = `
import * as pulumi from "@pulumi/pulumi";
class Place extends pulumi.dynamic.Resource {
  declare readonly provider: pulumi.Output<string>;
  constructor(name: string) {
    super({ async create() { console.log("the provider speaks"); return { id: "x", outs: { provider: process.cwd() } }; } }, name, { provider: undefined });
  }
}
pulumi.log.info("for the resource", new Place("speaker"));
export const places = { program: process.cwd(), provider: new Place("place").provider, stack: pulumi.getStack(), project: pulumi.getProject() };
`;

describe.each(enginesHere())("on %s", (engine) => {
  let workspace: Workspace;
  let folder: string;
  afterEach(() => {
    workspace.dispose();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test("a TypeScript program runs in the folder of `main`, its providers too; its configuration lies in stackConfigDir", {
    timeout: 120_000,
  }, async () => {
    folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "program-")));
    fs.mkdirSync(path.join(folder, "stacks"));
    fs.writeFileSync(path.join(folder, "stacks", "index.ts"), program);
    fs.writeFileSync(
      path.join(folder, "Pulumi.yaml"),
      "name: places\nmain: stacks/index.ts\nruntime: nodejs\nstackConfigDir: stacks\n",
    );
    fs.writeFileSync(path.join(folder, "package.json"), '{"name":"places"}');
    fs.symlinkSync(path.resolve(__dirname, "../../node_modules"), path.join(folder, "node_modules"));
    workspace = await createWorkspace({ program: { directory: folder }, engine });
    const up = await workspace.up();
    expect(up.ok, up.stdout + up.stderr).toBe(true);
    expect(up.stdout).toContain("the provider speaks");
    expect(up.diagnostics.map(({ message }) => message.trim())).toContain("for the resource");
    const stacks = path.join(folder, "stacks");
    expect(await workspace.outputs()).toEqual({
      places: { program: stacks, provider: stacks, stack: "dev", project: "places" },
    });
    expect(fs.existsSync(path.join(stacks, "Pulumi.dev.yaml"))).toBe(true);
  });

  test("a program that throws fails, says why, and deletes nothing", { timeout: 60_000 }, async () => {
    folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "program-")));
    const good =
      'const pulumi = require("@pulumi/pulumi");\nnew pulumi.dynamic.Resource({ async create() { return { id: "x", outs: {} }; } }, "kept", {});\n';
    workspace = await createWorkspace({ program: { source: good }, engine });
    expect((await workspace.up()).ok).toBe(true);
    fs.writeFileSync(
      path.join(workspace.directory, "index.js"),
      'require("@pulumi/pulumi"); throw new Error("out of luck");',
    );
    const failed = await workspace.up();
    expect(failed.ok).toBe(false);
    expect(failed.stdout).toContain("out of luck");
    expect(failed.operations.filter((line) => line.includes("delete"))).toEqual([]);
    expect(JSON.stringify((await workspace.exportStack()).deployment)).toContain("::kept");
  });
});
