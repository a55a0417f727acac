import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/**
 * Whether the frozen text of `shimText` finds the library's runner from the program's folder: the same places in the same order. It
 * cannot learn to look elsewhere, since it is in the state of everybody's stacks.
 * @param entry the package path of the runner
 * @param folder the working directory of program and provider
 */
export function findsRunner(entry: string, folder: string): boolean {
  const modules = join(folder, "node_modules");
  const places = [
    () => folder,
    () => join(modules, ".pnpm", "node_modules"),
    ...dependencies(folder).map((name) => () => realpathSync(join(modules, name))),
  ];
  for (const place of places) {
    try {
      createRequire(join(place(), "_")).resolve(entry);
      return true;
    } catch (error) {
      // A release that has no such runner is the end of the search, too.
      if (!isMissing(error)) return false;
    }
  }
  return false;
}

/** Names of what the program itself depends on; none where it has no package.json that says so. */
function dependencies(folder: string): string[] {
  try {
    const manifest = createRequire(join(folder, "_"))("./package.json") as { dependencies?: Record<string, string> };
    return Object.keys(manifest.dependencies ?? {});
  } catch {
    return [];
  }
}

function isMissing(error: unknown): boolean {
  return ["MODULE_NOT_FOUND", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "");
}

/** What to do where it is not found. */
export function runnerMissing(entry: string, folder: string): string {
  return `${entry} is not found from ${folder}, where Pulumi's provider process looks for it: another library has pulumi-redis-cluster in a folder of its own, or the program has another release of it. Add pulumi-redis-cluster to the dependencies in the program's own package.json, in the version that the library uses`;
}
