import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import ts from "typescript";
import type { History } from "../../../components/formation/goal";
import type { MigrationWay } from "../../../components/formation/migrate";
import type { ChangingCluster } from "./support";

/**
 * A process of its own that runs `reconcile` and is interrupted by itself right after its k-th changing command was answered,
 * so that the point is exact: killed with SIGKILL, or told that its engine is gone. With `exchange` it sends commands
 * together as it always does, and counts what was sent together as one.
 */
const CHILD = `
const [, , root, k, work] = process.argv;
const { Connections } = require(root + "/components/formation/wire.js");
const { reconcile } = require(root + "/components/formation/reconcile.js");
const { goal, history, access, way, unit, end } = JSON.parse(work);
const changing = /^(CLUSTER (SETSLOT|MIGRATESLOTS|RESET|MEET|FORGET|REPLICATE|FAILOVER|BUMPEPOCH)|CONFIG SET|CONFIG REWRITE|MIGRATE|EVAL(?!_RO)|FUNCTION RESTORE)\\b/;
const send = Connections.prototype.send;
let count = 0;
let gone = false;
const counted = () => {
  if (++count !== Number(k)) return;
  if (end === "kill") process.kill(process.pid, "SIGKILL");
  gone = true;
};
const changes = (command) => changing.test(command.slice(0, 2).join(" "));
Connections.prototype.send = async function (endpoint, commands, options) {
  if (unit === "exchange") {
    const answers = await send.call(this, endpoint, commands, options);
    if (commands.some(changes)) counted();
    return answers;
  }
  const answers = [];
  for (const command of commands) {
    answers.push(...(await send.call(this, endpoint, [command], options)));
    if (changes(command)) counted();
  }
  return answers;
};
const stopReason = () => (gone ? "the engine is gone" : undefined);
reconcile(goal, history, { access, onProgress: () => {}, stopReason, ...(way ? { way } : {}) }).then(
  () => console.log(count),
  (error) => {
    if (gone) process.exit(75);
    console.error(error);
    process.exit(1);
  },
);
`;

export interface Interruption {
  /** Default: what the servers at both ends do best. */
  readonly way?: MigrationWay;
  /** What is counted. Default: `command`, each sent alone. */
  readonly unit?: "command" | "exchange";
  /** SIGKILL, or the news that the engine is gone, after which a run stops between two commands. Default: `kill`. */
  readonly end?: "kill" | "engine";
}

/** Exit code of a run that stopped because its engine is gone. */
const STOPPED = 75;

export interface Runner {
  /** @returns the number of changing commands of a run that ended, or undefined where it was interrupted */
  run(cluster: ChangingCluster, history: History, k: number, how?: Interruption): Promise<number | undefined>;
  remove(): void;
}

/** Compiled here, file by file: what is tested is the source as it is, whether or not somebody has built it. */
export function makeRunner(): Runner {
  const root = mkdtempSync(join(tmpdir(), "prc-killed-"));
  const from = resolve("components");
  cpSync(from, join(root, "components"), { recursive: true, filter: (file) => !file.endsWith(".ts") });
  for (const file of readdirSync(from, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"))) {
    const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023, esModuleInterop: true };
    const { outputText } = ts.transpileModule(readFileSync(join(from, file), "utf8"), { compilerOptions });
    writeFileSync(join(root, "components", file.replace(/\.ts$/, ".js")), outputText);
  }
  writeFileSync(join(root, "child.js"), CHILD);
  return {
    run({ goal, access }, history, k, { way, unit = "command", end = "kill" } = {}) {
      const work = JSON.stringify({ goal, history, access, way, unit, end });
      const child = spawn(process.execPath, [join(root, "child.js"), root, String(k), work], {
        env: { ...process.env, NODE_PATH: resolve("node_modules") },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let text = "";
      child.stdout.on("data", (data: Buffer) => (text += data.toString()));
      child.stderr.on("data", (data: Buffer) => (text += data.toString()));
      return new Promise((done, fail) => {
        child.once("close", (code, signal) => {
          if (signal === "SIGKILL" || code === STOPPED) done(undefined);
          else if (code === 0) done(Number(text));
          else fail(new Error(text));
        });
      });
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
