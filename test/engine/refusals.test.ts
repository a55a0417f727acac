import { afterEach, describe, expect, test } from "vitest";
import { createWorkspace, type Workspace } from "./workspace";

// Proves that what the hermetic engine does not do is said, by name, before anything is done.

const start = 'const pulumi = require("@pulumi/pulumi");\n';
const provider = '{ async create(inputs) { return { id: "x", outs: inputs }; } }';
const cases: readonly (readonly [what: string, source: string, message: string])[] = [
  ["another package", 'new pulumi.CustomResource("aws:s3/bucket:Bucket", "b", {});', "resources of package aws"],
  ["an explicit provider", 'new pulumi.ProviderResource("aws", "p", {});', "explicit providers are not implemented"],
  ["import", `new pulumi.dynamic.Resource(${provider}, "r", {}, { import: "id" });`, "`import` is not implemented"],
  ["get", `new pulumi.CustomResource("a:b:C", "r", {}, { id: "id" });`, "readResource is not implemented"],
  [
    "a remote component",
    'new pulumi.ComponentResource("a:b:C", "r", {}, {}, true);',
    "remote components are not implemented",
  ],
  [
    "an invoke",
    'pulumi.runtime.invoke("aws:index/getRegion:getRegion", {}).then(() => {});',
    "invoke is not implemented",
  ],
  [
    "replaceWith",
    `const a = new pulumi.dynamic.Resource(${provider}, "a", {}); new pulumi.dynamic.Resource(${provider}, "r", {}, { replaceWith: [a] });`,
    "does not support the ReplaceWith option",
  ],
  [
    "transforms",
    `new pulumi.dynamic.Resource(${provider}, "r", {}, { transforms: [() => undefined] });`,
    "does not support transforms",
  ],
  ["a hook", `new pulumi.ResourceHook("h", () => {});`, "does not support resource hooks"],
  [
    "an asset",
    `new pulumi.dynamic.Resource(${provider}, "r", { file: new pulumi.asset.StringAsset("x") });`,
    "assets, archives and resource references are not implemented",
  ],
];

describe("refused", () => {
  let workspace: Workspace;
  afterEach(() => workspace.dispose());

  test.each(cases)("%s", { timeout: 60_000 }, async (_, source, message) => {
    workspace = await createWorkspace({ program: { source: start + source } });
    const result = await workspace.up();
    expect(result.ok).toBe(false);
    expect(result.stdout).toContain(message);
    expect(result.operations.filter((line) => line.includes("create pulumi-nodejs"))).toEqual(
      result.operations.filter((line) => line.endsWith("::a")),
    );
  });

  test("an unknown flag, a missing confirmation, a missing stack", { timeout: 60_000 }, async () => {
    workspace = await createWorkspace({ program: { source: start } });
    const results = await Promise.all(
      [["up", "--what"], ["up"], ["preview", "--stack", "nobody"]].map((args) => workspace.command(args)),
    );
    expect(results.map(({ exitCode }) => exitCode)).toEqual([255, 255, 255]);
    expect(results[0]?.stderr).toContain("unknown flag: --what");
    expect(results[1]?.stderr).toContain("--yes");
    expect(results[2]?.stderr).toContain("no stack named 'nobody' found");
  });
});
