// TypeScript to JavaScript, only where sources have changed since.

import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fingerprint, foreground, PROJECT, readJson, Trouble, writeFileAtomic } from "./project.mjs";

const COMMON = ["tsconfig.json", "package.json", "package-lock.json"];
/** Sources are what a config includes and what that imports; a test asks the compiler whether this is all. */
export const OUTPUTS = [
  { config: "tsconfig.build.json", out: "dist", sources: ["components", "infra/platforms"] },
  {
    config: "tsconfig.tools.json",
    out: "build",
    sources: [
      ...["test/engine", "test/bench", "test/chaos", "test/support"],
      ...["test/unit/config/specs.ts", "test/unit/topology/support.ts"],
      ...["components", "infra"],
    ],
  },
];

/** The published package into dist/, and this repository's own programs into build/. */
export async function compile() {
  for (const { config, out, sources } of OUTPUTS) {
    const stampFile = join(PROJECT, out, ".sources.json");
    const files = fingerprint([config, ...COMMON, ...sources]);
    // Inside the output, so that whoever removes that removes this.
    const before = readJson(stampFile);
    if (before && JSON.stringify(before) === JSON.stringify(files)) continue;
    // Of a source that is gone the output must go too; the compiler leaves it there.
    if (before && Object.keys(before).some((file) => !(file in files)))
      rmSync(join(PROJECT, out), { recursive: true, force: true });
    const tsc = join(PROJECT, "node_modules", "typescript", "bin", "tsc");
    if (!existsSync(tsc)) throw new Trouble("TypeScript is not installed; run npm ci");
    const code = await foreground(process.execPath, [tsc, "-p", config], { stdio: ["ignore", 2, 2] });
    if (code !== 0) throw new Trouble(`the sources do not compile (${config}); the compiler's messages are above`);
    writeFileAtomic(stampFile, JSON.stringify(files));
  }
}
