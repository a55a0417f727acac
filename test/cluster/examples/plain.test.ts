import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { ClusterInventory } from "../../../components/cluster/inventory";
import { createWorkspace, type Workspace } from "../../engine/workspace";
import { testServers } from "../../support/servers";
import { takeTurn } from "../../support/turns";

const repository = resolve(__dirname, "../../..");
const servers = await testServers();

/** A copy of the folder somewhere else, with the packages that its package.json asks for. */
function copyOf(example: string): string {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), "prc-example-")));
  cpSync(join(repository, "examples", example), directory, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Record<string, object>;
  for (const name of Object.keys({ ...manifest["dependencies"], ...manifest["devDependencies"] })) {
    const target = name === "pulumi-redis-cluster" ? repository : join(repository, "node_modules", name);
    mkdirSync(join(directory, "node_modules", name, ".."), { recursive: true });
    symlinkSync(target, join(directory, "node_modules", name));
  }
  return directory;
}

describe.skipIf(!servers)("examples/plain, copied out of this repository", () => {
  const server = servers?.["redis-7.0"];
  let directory = "";
  let workspace: Workspace | undefined;

  afterEach(async () => {
    const ended = await workspace?.destroy();
    workspace?.dispose();
    rmSync(directory, { recursive: true, force: true });
    expect(ended?.ok, ended?.stderr).toBe(true);
  });

  test("comes up as it is, carries out the change that its README proposes, and is quiet afterwards", async () => {
    directory = copyOf("plain");
    workspace = await createWorkspace({ program: { directory }, env: { REDIS_SERVER: server?.path ?? "" } });
    const end = await takeTurn();
    const first = await workspace.up().finally(end);
    expect(first.ok, first.stdout + first.stderr).toBe(true);
    const program = join(directory, "index.ts");
    const text = readFileSync(program, "utf8");
    expect(text).toContain("masters: 3");
    writeFileSync(program, text.replace("masters: 3", "masters: 5"));
    const second = await workspace.up();
    expect(second.ok, second.stdout + second.stderr).toBe(true);
    const inventory = (await workspace.outputs())["inventory"] as ClusterInventory;
    expect(inventory.shards).toHaveLength(5);
    expect(inventory.shards.every((shard) => shard.slots.length > 0 && shard.nodes.length === 2)).toBe(true);
    const third = await workspace.up();
    expect(third.stdout).toMatch(/Resources:\n {4}\d+ unchanged/);
  });
});
