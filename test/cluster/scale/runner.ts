import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import ts from "typescript";
import type { FormationGoal, History } from "../../../components/formation/goal";
import type { MigrationWay } from "../../../components/formation/migrate";

/**
 * A process of its own that runs `reconcile`, one command at a time, and is killed with SIGKILL by itself right after its
 * k-th changing command was answered, so that the point is exact.
 */
const CHILD = `
const [, , root, k, work] = process.argv;
const { Connections } = require(root + "/components/formation/wire.js");
const { reconcile } = require(root + "/components/formation/reconcile.js");
const changing = /^(CLUSTER (SETSLOT|MIGRATESLOTS|RESET|MEET|FORGET|REPLICATE|FAILOVER)|CONFIG SET|CONFIG REWRITE|MIGRATE|FUNCTION RESTORE)\\b/;
const send = Connections.prototype.send;
let count = 0;
Connections.prototype.send = async function (endpoint, commands, options) {
  const answers = [];
  for (const command of commands) {
    answers.push(...(await send.call(this, endpoint, [command], options)));
    if (changing.test(command.slice(0, 2).join(" ")) && ++count === Number(k)) process.kill(process.pid, "SIGKILL");
  }
  return answers;
};
const { goal, history, way } = JSON.parse(work);
reconcile(goal, history, { access: {}, onProgress: () => {}, ...(way ? { way } : {}) }).then(
  () => console.log(count),
  (error) => { console.error(error); process.exit(1); },
);
`;

export interface Runner {
  /** @returns the number of changing commands of a run that ended, or undefined where it was killed */
  run(goal: FormationGoal, history: History, k: number, way?: MigrationWay): Promise<number | undefined>;
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
    run(goal, history, k, way) {
      const work = JSON.stringify({ goal, history, way });
      const child = spawn(process.execPath, [join(root, "child.js"), root, String(k), work], {
        env: { ...process.env, NODE_PATH: resolve("node_modules") },
        stdio: ["ignore", "pipe", "pipe"],
      });
      let text = "";
      child.stdout.on("data", (data: Buffer) => (text += data.toString()));
      child.stderr.on("data", (data: Buffer) => (text += data.toString()));
      return new Promise((done, fail) => {
        child.once("close", (code, signal) => {
          if (signal === "SIGKILL") done(undefined);
          else if (code === 0) done(Number(text));
          else fail(new Error(text));
        });
      });
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
