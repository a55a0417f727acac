import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readAccess } from "../../../components/operations/cli/access";
import type { Console } from "../../../components/operations/cli/console";
import { findTarget } from "../../../components/operations/cli/target";
import { inventoryOfView } from "../../../components/operations/discover";

/** A folder with a Pulumi.yaml, and a `pulumi` on PATH that knows these outputs. */
function stackWith(outputs: Readonly<Record<string, unknown>>, env: Readonly<Record<string, string>> = {}): Console {
  const cwd = mkdtempSync(join(tmpdir(), "prc-target-"));
  writeFileSync(join(cwd, "Pulumi.yaml"), "name: user\n");
  for (const [name, value] of Object.entries(outputs)) writeFileSync(join(cwd, `${name}.json`), JSON.stringify(value));
  // stack output <name> --json …: only with --show-secrets does the real one tell what is secret.
  const script = `#!/bin/sh\n[ "$3" = credentials ] && case "$*" in *--show-secrets*) ;; *) echo '"[secret]"'; exit;; esac\ncat "$3.json"\n`;
  writeFileSync(join(cwd, "pulumi"), script, { mode: 0o755 });
  const path = `${cwd}:${process.env["PATH"]}`;
  return { out() {}, error() {}, isTerminal: false, width: 80, env: { PATH: path, ...env }, cwd };
}

const inventory = inventoryOfView(
  [],
  { address: "127.0.0.1", port: 7000, busPort: 17000 },
  { name: "redis", version: "7.0" },
  5000,
);
const admin = { username: "admin", password: "secret" };

test.for([
  ["the operator's user where there is one", { username: "app", password: "x", admin }, {}, admin],
  ["the one that there is", { username: "default", password: "x" }, {}, { username: "default", password: "x" }],
  ["none in an open cluster", { username: "default" }, {}, undefined],
  ["none where nobody exports any", undefined, {}, undefined],
  [
    "the environment's instead, where it has one",
    { username: "app", admin },
    { REDIS_CLUSTER_PASSWORD: "mine" },
    { password: "mine" },
  ],
] as const)("a stack's credentials: %s", async ([, credentials, env, access], { onTestFinished }) => {
  const console = stackWith({ inventory, ...(credentials ? { credentials } : {}) }, env);
  onTestFinished(() => rmSync(console.cwd, { recursive: true, force: true }));
  const target = await findTarget({}, console);
  const known = "access" in target ? target.access : undefined;
  expect(await readAccess({}, known, console)).toEqual(access ?? {});
});
