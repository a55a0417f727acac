import type * as pulumi from "@pulumi/pulumi";

/**
 * A dynamic provider that never changes. Pulumi stores a provider's code in the stack's state, so whatever stands here
 * shows up as a change in every preview if it is edited, and `destroy` runs the text that was stored, not today's. Hence:
 * methods that only load the library's runner, found from the program's folder, and hand over. A test pins this text.
 *
 * The runner is looked for where the program is, then where pnpm keeps indirect dependencies, then beside the
 * program's own dependencies, so that a library that wraps this one works too.
 *
 * @param entry the package path of the runner, such as `pulumi-redis-cluster/runner`; it exports `providers`
 * @param kind which of the runner's providers: `ClusterFormation`, `LocalNode`, …
 */
export function frozenProvider(entry: string, kind: string): pulumi.dynamic.ResourceProvider {
  const load = () => {
    const { createRequire } = require("node:module");
    const cwd = process.cwd();
    const own = createRequire(cwd + "/_");
    const missing = (error: unknown) => ["MODULE_NOT_FOUND", "ENOENT"].includes((error as { code: string }).code);
    const attempts = [() => own(entry), () => createRequire(cwd + "/node_modules/.pnpm/node_modules/_")(entry)];
    try {
      for (const name of Object.keys(own("./package.json").dependencies || {})) {
        attempts.push(() =>
          createRequire(require("node:fs").realpathSync(cwd + "/node_modules/" + name) + "/_")(entry),
        );
      }
    } catch (error) {
      if (!missing(error)) throw error;
    }
    let first: unknown;
    for (const attempt of attempts) {
      try {
        return attempt().providers[kind];
      } catch (error) {
        if (!missing(error)) throw error;
        first = first || error;
      }
    }
    throw first;
  };
  return {
    async check(olds, news) {
      return load().check(olds, news);
    },
    async diff(id, olds, news) {
      return load().diff(id, olds, news);
    },
    async create(inputs) {
      return load().create(inputs);
    },
    async read(id, props) {
      return load().read(id, props);
    },
    async update(id, olds, news) {
      return load().update(id, olds, news);
    },
    async delete(id, props) {
      return load().delete(id, props);
    },
  };
}

/** What a runner provides for each kind: Pulumi's dynamic provider interface, all of it. */
export interface ResourceRunner<Inputs, Outputs> {
  /** `olds` are the inputs of the last run, empty for a new resource. Unknown values are sentinel strings. */
  check(olds: Partial<Inputs>, news: Inputs): Promise<pulumi.dynamic.CheckResult>;
  diff(id: string, olds: Outputs, news: Inputs): Promise<pulumi.dynamic.DiffResult>;
  create(inputs: Inputs): Promise<{ id: string; outs: Outputs }>;
  read(id: string, props: Outputs): Promise<{ id: string; props: Outputs }>;
  update(id: string, olds: Outputs, news: Inputs): Promise<{ outs: Outputs }>;
  delete(id: string, props: Outputs): Promise<void>;
}
