// Where the state of a stack is, and what encrypts its secrets. Settled here for a checkout that is used alone; whoever
// sets PULUMI_BACKEND_URL or a passphrase of their own keeps it.

import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { LOCAL, PROJECT, say, toolEnvironment } from "./project.mjs";

const STATE = join(LOCAL, "state");
const PASSPHRASE = join(LOCAL, "passphrase");

/** Name of the project, as Pulumi.yaml has it. */
export function projectName() {
  return /^name:\s*(\S+)/m.exec(readFileSync(join(PROJECT, "Pulumi.yaml"), "utf8"))?.[1] ?? "";
}

/**
 * @param {string} stack
 * @returns the environment for Pulumi, and the folder of the state where it is ours
 */
export function pulumiSettings(stack) {
  const env = toolEnvironment({
    // The type check is `npm run lint`'s; here it would cost seconds in every run.
    PULUMI_NODEJS_TRANSPILE_ONLY: process.env.PULUMI_NODEJS_TRANSPILE_ONLY ?? "true",
    PULUMI_SKIP_UPDATE_CHECK: process.env.PULUMI_SKIP_UPDATE_CHECK ?? "true",
  });
  const ownBackend = !process.env.PULUMI_BACKEND_URL;
  const first = !existsSync(STATE);
  if (ownBackend) {
    mkdirSync(STATE, { recursive: true, mode: 0o700 });
    env.PULUMI_BACKEND_URL = pathToFileURL(STATE).href;
  }
  const ownPassphrase =
    ownBackend &&
    process.env.PULUMI_CONFIG_PASSPHRASE === undefined &&
    process.env.PULUMI_CONFIG_PASSPHRASE_FILE === undefined;
  if (ownPassphrase) {
    if (!existsSync(PASSPHRASE))
      writeFileSync(PASSPHRASE, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
    env.PULUMI_CONFIG_PASSPHRASE_FILE = PASSPHRASE;
  }
  if (ownBackend && first) {
    say(
      "State is kept in .local/state" +
        (ownPassphrase
          ? ", secrets in it are encrypted with .local/passphrase (plain pulumi: export PULUMI_CONFIG_PASSPHRASE_FILE=$PWD/.local/passphrase)"
          : "") +
        "; set PULUMI_BACKEND_URL to keep it elsewhere.",
    );
  }
  if (ownBackend) configuration(stack);
  return { env, state: ownBackend ? STATE : folderOf(process.env.PULUMI_BACKEND_URL), ownBackend };
}

/** A stack's settings start as a copy of its own example, else of the common one. `local` belongs to this machine (Pulumi adds its salt) and is not committed. */
function configuration(stack) {
  const file = join(PROJECT, "stacks", `Pulumi.${stack}.yaml`);
  const own = join(PROJECT, "stacks", `${stack}.example.yaml`);
  const example = existsSync(own) ? own : join(PROJECT, "stacks", "example.yaml");
  if (!existsSync(file) && existsSync(example)) copyFileSync(example, file);
}

function folderOf(url) {
  return url?.startsWith("file:///") ? decodeURIComponent(new URL(url).pathname) : undefined;
}
