import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";

const { OUTPUTS } = await import("../../../infra/toolchain/compile.mjs");
const repository = resolve(__dirname, "../../..");

/** What a config includes and, file by file, what is imported from there. */
function readBy(config: string): string[] {
  const { config: content } = ts.readConfigFile(join(repository, config), ts.sys.readFile);
  const read = new Set(ts.parseJsonConfigFileContent(content, ts.sys, repository).fileNames);
  for (const file of read) {
    for (const { fileName } of ts.preProcessFile(readFileSync(file, "utf8")).importedFiles) {
      if (!fileName.startsWith(".")) continue;
      const path = join(dirname(file), fileName);
      const found = [path, `${path}.ts`, join(path, "index.ts"), path.replace(/\.mjs$/, ".d.mts")].find(
        (candidate) => existsSync(candidate) && statSync(candidate).isFile() && !candidate.endsWith(".mjs"),
      );
      if (!found) throw new Error(`${file} imports ${fileName}, which is not there`);
      read.add(found);
    }
  }
  return [...read].map((file) => relative(repository, file));
}

test.for(OUTPUTS)("a change of anything that $config reads is compiled anew", ({ config, sources }) => {
  const read = readBy(config);
  expect(read.length).toBeGreaterThan(10);
  const isWatched = (file: string) => sources.some((source) => file === source || file.startsWith(`${source}/`));
  expect(read.filter((file) => !isWatched(file))).toEqual([]);
});
