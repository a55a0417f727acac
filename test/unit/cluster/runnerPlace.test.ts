import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findsRunner } from "../../../components/cluster/runnerPlace";
import { shimText } from "../../../components/cluster/shimText";

// Proves, with the frozen text itself, in which layouts of packages it finds the runner, and that the program foretells it.

const ENTRY = "pulumi-redis-cluster/docker/runner";

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "prc-layout-")));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(path: string, manifest: object, files: Record<string, string> = {}): void {
  mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, path, "package.json"), JSON.stringify(manifest));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, path, name), text);
}

function link(path: string, to: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  symlinkSync(join(folder, to), join(folder, path));
}

/** The program, which depends on these. */
const program = (...names: string[]) =>
  write(".", { name: "program", dependencies: Object.fromEntries(names.map((name) => [name, "*"])) });

/** The library, in a folder. */
const library = (path: string) =>
  write(
    path,
    { name: "pulumi-redis-cluster", exports: { "./docker/runner": "./runner.js" } },
    { "runner.js": "exports.providers = { DockerNode: { check: async () => 'checked' } };" },
  );

const LAYOUTS: Record<string, readonly [found: boolean, make: () => void]> = {
  "npm and yarn, the program's own dependency": [
    true,
    () => {
      program("pulumi-redis-cluster");
      library("node_modules/pulumi-redis-cluster");
    },
  ],
  "npm and yarn, hoisted from another library": [
    true,
    () => {
      program("mylib");
      write("node_modules/mylib", { name: "mylib" });
      library("node_modules/pulumi-redis-cluster");
    },
  ],
  "nested in another library": [
    true,
    () => {
      program("mylib");
      library("node_modules/mylib/node_modules/pulumi-redis-cluster");
    },
  ],
  "pnpm, behind two libraries": [
    true,
    () => {
      program("outer");
      link("node_modules/outer", "node_modules/.pnpm/outer@1/node_modules/outer");
      write("node_modules/.pnpm/outer@1/node_modules/outer", { name: "outer" });
      library("node_modules/.pnpm/pulumi-redis-cluster@1/node_modules/pulumi-redis-cluster");
      link(
        "node_modules/.pnpm/node_modules/pulumi-redis-cluster",
        "node_modules/.pnpm/pulumi-redis-cluster@1/node_modules/pulumi-redis-cluster",
      );
    },
  ],
  "pnpm without hoisting, behind another library": [
    true,
    () => {
      program("mylib");
      write("node_modules/.pnpm/mylib@1/node_modules/mylib", { name: "mylib" });
      link("node_modules/mylib", "node_modules/.pnpm/mylib@1/node_modules/mylib");
      library("node_modules/.pnpm/pulumi-redis-cluster@1/node_modules/pulumi-redis-cluster");
      link(
        "node_modules/.pnpm/mylib@1/node_modules/pulumi-redis-cluster",
        "node_modules/.pnpm/pulumi-redis-cluster@1/node_modules/pulumi-redis-cluster",
      );
    },
  ],
  "nested behind two libraries": [
    false,
    () => {
      program("outer");
      library("node_modules/outer/node_modules/mylib/node_modules/pulumi-redis-cluster");
    },
  ],
  "the same, with the remedy": [
    true,
    () => {
      program("outer", "pulumi-redis-cluster");
      library("node_modules/outer/node_modules/mylib/node_modules/pulumi-redis-cluster");
      library("node_modules/pulumi-redis-cluster");
    },
  ],
  "nested in a library after one that is not installed": [
    true,
    () => {
      program("absent", "mylib");
      library("node_modules/mylib/node_modules/pulumi-redis-cluster");
    },
  ],
  "nested in another library, while the program has a release without this runner": [
    false,
    () => {
      program("mylib", "pulumi-redis-cluster");
      library("node_modules/mylib/node_modules/pulumi-redis-cluster");
      write("node_modules/pulumi-redis-cluster", { name: "pulumi-redis-cluster", exports: { "./runner": "./r.js" } });
    },
  ],
  "a workspace, hoisted to its root": [
    true,
    () => {
      library("node_modules/pulumi-redis-cluster");
      write("infra", { name: "program", dependencies: { mylib: "*" } });
    },
  ],
};

test.for(Object.entries(LAYOUTS))("%s", async ([name, [found, make]]) => {
  make();
  const cwd = name.startsWith("a workspace") ? join(folder, "infra") : folder;
  const provider = {} as { handler: () => { check: (olds: object, news: object) => Promise<unknown> } };
  runInNewContext(shimText(ENTRY, "DockerNode"), {
    exports: provider,
    require: createRequire(join(folder, "_")),
    process: { cwd: () => cwd },
  });
  const checked = provider.handler().check({}, {});
  if (found) expect(await checked).toBe("checked");
  else await expect(checked).rejects.toThrow(/Cannot find module|is not defined by "exports"/);
  expect(findsRunner(ENTRY, cwd)).toBe(found);
});
