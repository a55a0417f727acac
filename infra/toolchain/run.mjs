// What every npm script of this repository runs: node infra/toolchain/run.mjs <command> [arguments]
//
//   build                              compile what has changed
//   up | preview | refresh | destroy   on the stack `local`, or --stack <name>; other flags are Pulumi's
//   cancel                             takes away the lock of a run that was killed
//   status                             the live cluster of a stack, as a table or --json
//   test | test:full                   all tests but the longest | all; arguments are vitest's
//   bench <name>                       a benchmark
//   chaos                              random changes and faults on real clusters
//   smoke                              the packed library, used as its users do
//   lint | format
//
// Each brings what it needs first: npm packages, a newer Node, a server. Nothing of the system is changed.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { compile } from "./compile.mjs";
import { ensurePackages, underNewerNode } from "./packages.mjs";
import { foreground, PROJECT, say, Trouble, toolEnvironment } from "./project.mjs";
import { ensureRedisServer, ensureTestServers, ServerUnavailable } from "./servers.mjs";
import { smoke } from "./smoke.mjs";
import { stackCommand } from "./stack.mjs";
import { statusArguments, statusCredentials } from "./status.mjs";

const tool = (...path) => join(PROJECT, "node_modules", ...path);
const node = (file, args, env) => foreground(process.execPath, [file, ...args], { env: toolEnvironment(env) });

/** Exit code of `redis-cluster status`. */
const COULD_NOT_TELL = 2;

const COMMANDS = {
  build: () => compile().then(() => 0),
  up: (args) => compile().then(() => stackCommand("up", args)),
  preview: (args) => compile().then(() => stackCommand("preview", args)),
  refresh: (args) => compile().then(() => stackCommand("refresh", args)),
  destroy: (args) => compile().then(() => stackCommand("destroy", args)),
  cancel: (args) => compile().then(() => stackCommand("cancel", args)),
  async status(args) {
    await compile();
    let options;
    let credentials;
    try {
      options = statusArguments(args);
      credentials = await statusCredentials(args);
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      say(error.message);
      return COULD_NOT_TELL;
    }
    const program = [join(PROJECT, "dist", "components", "operations", "cli", "main.js"), "status", ...options];
    if (credentials === undefined) return node(program[0], program.slice(1));
    return foreground(process.execPath, [...program, "--credentials", "-"], {
      env: toolEnvironment(),
      input: credentials,
    });
  },
  test: (args) => test(args, {}),
  "test:full": (args) => test(args, { FULL: "1" }),
  async bench([name, ...args]) {
    await compile();
    const main = join(PROJECT, "build", "test", "bench", "main.js");
    if (!existsSync(main)) throw new Trouble("there are no benchmarks in test/bench");
    const server = await ensureRedisServer({ log: say });
    return node(main, name ? [name, ...args] : [], { REDIS_SERVER: server.path });
  },
  async chaos(args) {
    await compile();
    return node(join(PROJECT, "build", "test", "chaos", "main.js"), args);
  },
  smoke: () => compile().then(smoke),
  async lint(args) {
    // Format, rules (the direction of imports among them), then types.
    const style = await node(tool("@biomejs", "biome", "bin", "biome"), ["check", ...args]);
    // The program imports the package as its users do: built.
    await compile();
    const types = [];
    for (const config of ["tsconfig.json", "test/tsconfig.json"])
      types.push(await node(tool("typescript", "bin", "tsc"), ["-p", config]));
    return [style, ...types].find((code) => code !== 0) ?? 0;
  },
  format: (args) => node(tool("@biomejs", "biome", "bin", "biome"), ["check", "--write", ...args]),
};

async function test(args, env) {
  await compile();
  const server = await ensureRedisServer({ log: say });
  try {
    await ensureTestServers({ log: say });
  } catch (error) {
    // The tests that need them say so themselves; in CI they fail there.
    if (!(error instanceof ServerUnavailable)) throw error;
    say(error.message);
  }
  return node(tool("vitest", "vitest.mjs"), ["run", ...args], { REDIS_SERVER: server.path, ...env });
}

async function main([name, ...args]) {
  const command = Object.hasOwn(COMMANDS, name ?? "") ? COMMANDS[name] : undefined;
  if (!command) throw new Trouble(`usage: npm run <${Object.keys(COMMANDS).join(" | ")}> [-- arguments]`);
  await ensurePackages();
  return (await underNewerNode()) ?? command(args);
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    say(error instanceof Trouble || error instanceof ServerUnavailable ? error.message : error.stack);
    process.exitCode = 1;
  },
);
