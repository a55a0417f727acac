// Packs the library and uses it from another folder, as its users do: every entry loads, by itself and with its types, and
// the command answers. Dependencies are those of this checkout, so that no network is needed.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { npm } from "./packages.mjs";
import { PROJECT, say, Trouble } from "./project.mjs";

const CONSUMER = `import { LocalRedisCluster, type LocalRedisClusterArgs } from "pulumi-redis-cluster/local";
import type { ClusterInventory } from "pulumi-redis-cluster";
const args: LocalRedisClusterArgs = { masters: 3, replicasPerMaster: 1 };
export const shards = new LocalRedisCluster("dev", args).inventory.apply((inventory: ClusterInventory) => inventory.shards.length);
`;

const COMPILER_OPTIONS = {
  module: "node20",
  target: "es2023",
  strict: true,
  noEmit: true,
  types: ["node"],
  rootDir: ".",
};

export async function smoke() {
  const folder = mkdtempSync(join(tmpdir(), "package-"));
  try {
    const { file, args } = npm();
    execFileSync(file, [...args, "pack", "--ignore-scripts", "--silent", "--pack-destination", folder], {
      cwd: PROJECT,
      stdio: ["ignore", "ignore", 2],
    });
    const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
    if (!archive) throw new Trouble("npm pack made no archive");
    const modules = join(folder, "node_modules");
    const library = join(modules, "pulumi-redis-cluster");
    mkdirSync(library, { recursive: true });
    execFileSync("tar", ["-xzf", join(folder, archive), "-C", library, "--strip-components=1"]);
    for (const name of readdirSync(join(PROJECT, "node_modules"))) {
      if (!name.startsWith(".") && name !== "pulumi-redis-cluster")
        symlinkSync(join(PROJECT, "node_modules", name), join(modules, name));
    }
    const { exports, bin } = JSON.parse(readFileSync(join(library, "package.json"), "utf8"));
    const run = (program, ...given) =>
      execFileSync(process.execPath, [program, ...given], { cwd: folder, stdio: ["ignore", "pipe", 2] });
    for (const entry of Object.keys(exports)) {
      const name = `pulumi-redis-cluster${entry.slice(1)}`;
      // One process an entry: none may lean on what another has loaded.
      run("-e", `require(${JSON.stringify(name)})`);
      say(`loads: ${name}`);
    }
    for (const [name, program] of Object.entries(bin)) {
      run(join(library, program), "--help");
      say(`answers: ${name} --help`);
    }
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true }));
    writeFileSync(join(folder, "index.ts"), CONSUMER);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: COMPILER_OPTIONS, files: ["index.ts"] }),
    );
    execFileSync(process.execPath, [join(PROJECT, "node_modules", "typescript", "bin", "tsc"), "-p", folder], {
      stdio: ["ignore", 2, 2],
    });
    say("compiles: a program that uses it, with strict types");
    return 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
