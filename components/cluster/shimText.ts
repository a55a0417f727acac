/**
 * The code of a dynamic provider that never changes. Pulumi stores a provider's code in the stack's state, so whatever stands here
 * shows up as a change in every preview if it is edited, and `destroy` runs the text that was stored, not today's. Hence:
 * methods that only load the library's runner, found from the program's folder, and hand over.
 *
 * It is a text, as Pulumi's own serializer once made it of six such methods: made anew in each run, it would take half a second, and
 * would depend on the versions of Pulumi and TypeScript that do it.
 *
 * The runner is looked for where the program is, then where pnpm keeps indirect dependencies, then beside the
 * program's own dependencies, so that a library that wraps this one works too.
 *
 * @param entry the package path of the runner, such as `pulumi-redis-cluster/runner`; it exports `providers`
 * @param kind which of the runner's providers: `ClusterFormation`, `LocalNode`, …
 */
export const shimText = (entry: string, kind: string): string => `exports.handler = __f0;

var __provider = {check: __f1, diff: __f3, create: __f4, read: __f5, update: __f6, delete: __f7};

function __f2() {
  return (function() {
    with({ entry: ${JSON.stringify(entry)}, kind: ${JSON.stringify(kind)}, this: undefined, arguments: undefined }) {

return () => {
        const { createRequire } = require("node:module");
        const cwd = process.cwd();
        const own = createRequire(cwd + "/_");
        const missing = (error) => ["MODULE_NOT_FOUND", "ENOENT"].includes(error.code);
        const attempts = [() => own(entry), () => createRequire(cwd + "/node_modules/.pnpm/node_modules/_")(entry)];
        try {
            for (const name of Object.keys(own("./package.json").dependencies || {})) {
                attempts.push(() => createRequire(require("node:fs").realpathSync(cwd + "/node_modules/" + name) + "/_")(entry));
            }
        }
        catch (error) {
            if (!missing(error))
                throw error;
        }
        let first;
        for (const attempt of attempts) {
            try {
                return attempt().providers[kind];
            }
            catch (error) {
                if (!missing(error))
                    throw error;
                first = first || error;
            }
        }
        throw first;
    };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f1(__0, __1) {
  return (function() {
    with({ load: __f2, this: undefined, arguments: undefined }) {

return async function /*check*/(olds, news) {
            return load().check(olds, news);
        };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f3(__0, __1, __2) {
  return (function() {
    with({ load: __f2, this: undefined, arguments: undefined }) {

return async function /*diff*/(id, olds, news) {
            return load().diff(id, olds, news);
        };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f4(__0) {
  return (function() {
    with({ load: __f2, this: undefined, arguments: undefined }) {

return async function /*create*/(inputs) {
            return load().create(inputs);
        };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f5(__0, __1) {
  return (function() {
    with({ load: __f2, this: undefined, arguments: undefined }) {

return async function /*read*/(id, props) {
            return load().read(id, props);
        };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f6(__0, __1, __2) {
  return (function() {
    with({ load: __f2, this: undefined, arguments: undefined }) {

return async function /*update*/(id, olds, news) {
            return load().update(id, olds, news);
        };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f7(__0, __1) {
  return (function() {
    with({ load: __f2, this: undefined, arguments: undefined }) {

return async function /*delete*/(id, props) {
            return load().delete(id, props);
        };

    }
  }).apply(undefined, undefined).apply(this, arguments);
}

function __f0() {
  return (function() {
    with({ provider: __provider, this: undefined, arguments: undefined }) {

return () => provider;

    }
  }).apply(undefined, undefined).apply(this, arguments);
}
`;
