// Which engine carries a stack: the Pulumi CLI where there is one or one can be had, else the hermetic engine of test/engine.

import { accessSync, constants, existsSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { npm } from "./packages.mjs";
import { BIN, bounded, LOCAL, PROJECT, readJson, say, Trouble, writeFileAtomic } from "./project.mjs";
import { projectName } from "./settings.mjs";

/** The CLI that npm's package `pulumi` downloads. */
const CLI_VERSION = "3.265.0";
const REACH_MILLISECONDS = 10_000;
const DOWNLOAD_MILLISECONDS = 10 * 60_000;
const ASK_AGAIN_MILLISECONDS = 60 * 60_000;
const UNREACHABLE = join(LOCAL, "no-pulumi-cli.json");

/**
 * @typedef {object} Engine
 * @property {"cli" | "hermetic"} kind
 * @property {string} file program to run
 * @property {string[]} args before Pulumi's own
 */

/**
 * @param {{ stack: string, state?: string }} where `state` is the backend's folder, where it is one
 * @returns {Promise<Engine & { isNew: boolean }>}
 */
export async function chooseEngine({ stack, state }) {
  const made = state ? madeBy(state, stack) : undefined;
  const asked = process.env.PULUMI_CLI;
  if (made === "hermetic") {
    if (asked && asked !== "hermetic") refuseMove(stack);
    if (!asked && onPath("pulumi")) {
      say(
        `Stack ${stack} was made by the hermetic engine and stays with it, though a Pulumi CLI is there now. ${howToMove(stack)}`,
      );
    }
    return { ...hermetic(), isNew: false };
  }
  if (asked === "hermetic") {
    if (made === "cli")
      throw new Trouble(
        `stack ${stack} was made by the Pulumi CLI; the hermetic engine does not touch it. Unset PULUMI_CLI`,
      );
    return { ...hermetic(), isNew: true };
  }
  const found = asked ? given(asked) : (onPath("pulumi") ?? downloaded());
  const { file, reason } = found ? { file: found } : await download();
  if (file) return { kind: "cli", file, args: [], isNew: made !== "cli" };
  if (made === "cli")
    throw new Trouble(
      `stack ${stack} was made by the Pulumi CLI, and there is none: install it (https://www.pulumi.com/docs/install) or set PULUMI_CLI to its path`,
    );
  if (!state)
    throw new Trouble(
      "the backend in PULUMI_BACKEND_URL needs the Pulumi CLI, and there is none: install it (https://www.pulumi.com/docs/install) or set PULUMI_CLI to its path",
    );
  say(`No Pulumi CLI on PATH, and ${reason}: using the hermetic engine, a test double of it.`);
  return { ...hermetic(), isNew: true };
}

/** A stack's file shows whose it is: the two engines keep them apart. */
function madeBy(state, stack) {
  const project = projectName();
  if (existsSync(join(state, ".hermetic", "stacks", project, `${stack}.json`))) return "hermetic";
  const file = join(state, ".pulumi", "stacks", project, `${stack}.json`);
  return existsSync(file) || existsSync(`${file}.gz`) ? "cli" : undefined;
}

function hermetic() {
  const main = join(PROJECT, "build", "test", "engine", "main.js");
  if (!existsSync(main)) throw new Trouble(`${main} is missing; run npm run build`);
  return { kind: "hermetic", file: process.execPath, args: [main] };
}

function refuseMove(stack) {
  throw new Trouble(
    `stack ${stack} was made by the hermetic engine; the Pulumi CLI does not know it. ${howToMove(stack)}`,
  );
}

function howToMove(stack) {
  return (
    `To move it: node build/test/engine/main.js stack export -s ${stack} --file state.json, then the same command with stack rm ${stack} --force, ` +
    `then pulumi stack init ${stack} and pulumi stack import --file state.json (with PULUMI_BACKEND_URL and PULUMI_CONFIG_PASSPHRASE_FILE as npm run up says).`
  );
}

function given(path) {
  const file = path.includes("/") ? path : onPath(path);
  if (!file || !existsSync(file))
    throw new Trouble(`PULUMI_CLI: there is no program "${path}"; give the path of a pulumi, or "hermetic"`);
  return file;
}

function onPath(name) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    // A `pulumi` among the npm packages is the one that downloads: asked for later, and with a bound.
    if (!folder || folder === BIN) continue;
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

function downloaded() {
  const home = process.env.PULUMI_HOME || join(homedir(), ".pulumi");
  const file = join(home, "versions", CLI_VERSION, "bin", "pulumi");
  return existsSync(file) ? file : undefined;
}

/**
 * The path of a CLI, or why there is none. The official npm package `pulumi` fetches the CLI from Pulumi's own site. Whether that can be
 * reached is found out first, quickly, and remembered.
 */
async function download() {
  const known = readJson(UNREACHABLE);
  if (known && Date.now() - known.at < ASK_AGAIN_MILLISECONDS && known.at <= Date.now()) {
    return { reason: `${known.reason} (not asked again for an hour; remove .local/no-pulumi-cli.json to ask now)` };
  }
  let reason;
  try {
    const answer = await fetch("https://get.pulumi.com/install.sh", {
      signal: AbortSignal.timeout(REACH_MILLISECONDS),
    });
    if (!answer.ok) reason = `get.pulumi.com answers ${answer.status}`;
    else await answer.text();
  } catch (error) {
    reason =
      error.name === "TimeoutError"
        ? `get.pulumi.com gave no answer for ${REACH_MILLISECONDS / 1000} s`
        : "get.pulumi.com cannot be reached";
  }
  if (!reason) {
    say(`No Pulumi CLI on PATH: npm's package pulumi@${CLI_VERSION} downloads it into ~/.pulumi (once).`);
    const code = await bounded(
      npm().file,
      [...npm().args, "exec", "--yes", `--package=pulumi@${CLI_VERSION}`, "--", "pulumi", "version"],
      DOWNLOAD_MILLISECONDS,
      { stdio: ["ignore", 2, 2] },
    );
    const file = downloaded();
    if (code === 0 && file) {
      rmSync(UNREACHABLE, { force: true });
      return { file };
    }
    // There was none before: what a download left that was ended may be half of one.
    if (code === undefined && file) rmSync(file);
    reason = code === undefined ? "the download took too long" : "the download failed";
  }
  writeFileAtomic(UNREACHABLE, JSON.stringify({ at: Date.now(), reason }));
  return { reason: `${reason} (install the CLI, or set PULUMI_CLI)` };
}

/** Environment for an engine: the CLI finds its language hosts beside itself. */
export function engineEnvironment(engine, env) {
  return engine.kind === "cli" ? { ...env, PATH: `${env.PATH}${delimiter}${dirname(engine.file)}` } : env;
}
