import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "engine-watch-"));
let child: ChildProcess | undefined;
afterEach(() => {
  child?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** A provider process as the SDK's: it prints uncaught errors, and a call prints its progress and asks whether to go on. */
const PROVIDER = `
const { EngineWatch, endingWithTheEngine, leaveIfOrphaned } = require(process.argv[2]);
for (const name of ["uncaughtException", "unhandledRejection"]) process.on(name, (error) => console.error(error.stack));
const runners = {
  Kind: {
    async create() {
      const watch = new EngineWatch().start();
      for (;;) {
        console.log("progress");
        leaveIfOrphaned(watch);
        await new Promise((done) => setTimeout(done, 20));
      }
    },
  },
};
endingWithTheEngine(runners).Kind.create();
`;

test("a provider whose engine was killed ends, though nobody reads what it prints", async () => {
  mkdirSync(join(folder, "dynamic-provider"));
  const main = join(folder, "dynamic-provider", "index.js");
  writeFileSync(main, PROVIDER);
  const module = resolve("dist/components/formation/runner/engineWatch.js");
  // Between the provider and the engine stands a shell, as with the CLI: the parent lives on.
  const provider = spawn(process.execPath, [main, module], { stdio: ["ignore", "pipe", "pipe"] });
  child = provider;
  await once(provider.stdout, "data");
  provider.stdout.destroy();
  provider.stderr.destroy();
  const [code] = await once(provider, "exit");
  expect(code).toBe(75);
});
