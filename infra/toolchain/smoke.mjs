// Packs the library and uses it from another folder, as its users do: every entry loads, by itself and with its types, each loads
// nothing of a platform that is not its own, and the command answers. Dependencies are those of this checkout, so that no network is
// needed; what only its developers have is not among them.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { npm } from "./packages.mjs";
import { PROJECT, say, Trouble } from "./project.mjs";

const CONSUMER = `import { DockerRedisCluster, type DockerRedisClusterArgs } from "pulumi-redis-cluster/docker";
import { LocalRedisCluster, type LocalRedisClusterArgs } from "pulumi-redis-cluster/local";
import { clusterOptions, connectionFacts } from "pulumi-redis-cluster/client";
import type { ClusterInventory } from "pulumi-redis-cluster";
const args: LocalRedisClusterArgs = { masters: 3, replicasPerMaster: 1 };
export const shards = new LocalRedisCluster("dev", args).inventory.apply((inventory: ClusterInventory) => inventory.shards.length);
const inDocker: DockerRedisClusterArgs = { image: "valkey/valkey:9.1", publish: { firstPort: 17_000 }, tls: {} };
const { inventory, credentials } = new DockerRedisCluster("dev", inDocker);
export const seeds = inventory.apply((told) =>
  credentials.apply((login) => [clusterOptions(told, login, { published: true }).seeds, connectionFacts(told, login).nodes]));
export const whole = new DockerRedisCluster("whole").seeds;
`;

/** The strictest that a consumer may have, types of libraries included. */
const COMPILER_OPTIONS = {
  module: "node20",
  target: "es2023",
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noUnusedLocals: true,
  isolatedModules: true,
  noEmit: true,
  types: ["node"],
  rootDir: ".",
};

/** Packages that an entry may load only where it is of that platform: they are large, or are not there. */
const OF_PLATFORMS = ["@pulumi/docker", "dockerode", "@pulumi/aws", "@pulumi/kubernetes", "ssh2"];
/** What an entry loads of these: a program declares, and the provider's process alone talks to a daemon. (dockerode brings ssh2.) */
const MAY_LOAD = { "./docker": ["@pulumi/docker"], "./docker/runner": ["dockerode", "ssh2"] };
/** Entries that applications have, and those do not have Pulumi. */
const WITHOUT_PULUMI = ["./client"];

/** What an entry loads, by package. */
const LOADED = (name) => `require(${JSON.stringify(name)});
const packages = Object.keys(require.cache).flatMap((file) => /.*node_modules[/\\\\]((?:@[^/\\\\]+[/\\\\])?[^/\\\\]+)/.exec(file)?.[1].replaceAll("\\\\", "/") ?? []);
process.stdout.write(JSON.stringify([...new Set(packages)]));`;

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
    const { exports, bin, devDependencies } = JSON.parse(readFileSync(join(library, "package.json"), "utf8"));
    linkDependencies(modules, Object.keys(devDependencies));
    const run = (program, ...given) =>
      execFileSync(process.execPath, [program, ...given], { cwd: folder, stdio: ["ignore", "pipe", 2] });
    for (const entry of Object.keys(exports)) {
      const name = `pulumi-redis-cluster${entry.slice(1)}`;
      // One process an entry: none may lean on what another has loaded.
      const loaded = JSON.parse(run("-e", LOADED(name)));
      const foreign = OF_PLATFORMS.filter((other) => !(MAY_LOAD[entry] ?? []).includes(other));
      if (WITHOUT_PULUMI.includes(entry)) foreign.push("@pulumi/pulumi");
      const wrong = foreign.filter((other) => loaded.includes(other));
      if (wrong.length > 0) throw new Trouble(`${name} loads ${wrong.join(", ")}; load them where they are needed`);
      say(`loads: ${name}${loaded.length > 0 ? ` (${loaded.length} packages)` : ""}`);
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

/** Those of this checkout, but for those of its developers; a consumer who compiles has types of Node. */
function linkDependencies(modules, developers) {
  const place = (name) => symlinkSync(join(PROJECT, "node_modules", name), join(modules, name));
  const ofDevelopers = (name) => developers.includes(name) && name !== "@types/node";
  for (const name of readdirSync(join(PROJECT, "node_modules"))) {
    if (name.startsWith(".") || name === "pulumi-redis-cluster" || ofDevelopers(name)) continue;
    if (!name.startsWith("@")) place(name);
    else {
      mkdirSync(join(modules, name));
      for (const scoped of readdirSync(join(PROJECT, "node_modules", name)))
        if (!ofDevelopers(`${name}/${scoped}`)) place(`${name}/${scoped}`);
    }
  }
}
