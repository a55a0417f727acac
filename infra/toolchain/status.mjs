// What `npm run status` hands to `redis-cluster status`: inventory and credentials of a stack, unless its caller says which cluster it is about.

import { parseArgs } from "node:util";
import { credentialsOf, inventoryOf } from "./stack.mjs";

/** @param find where a stack's inventory is */
export function statusArguments(given, find = inventoryOf) {
  if (!isAboutStack(given)) return given;
  const { file, rest } = find(given);
  return ["--inventory", file, ...rest];
}

/**
 * Credentials go through a pipe: not into a file, an argument or an environment.
 * @returns their text, or undefined where the caller logs in by other means, and in an open cluster
 */
export async function statusCredentials(given, find = credentialsOf) {
  const { values } = parse(given);
  const own = ["credentials", "cacert", "cert", "key"].some((name) => values[name] !== undefined);
  if (own || process.env.REDIS_CLUSTER_PASSWORD || !isAboutStack(given)) return undefined;
  return find(given);
}

function isAboutStack(given) {
  const { values } = parse(given);
  return values.inventory === undefined && values.node === undefined && !values.help;
}

function parse(given) {
  // Not strict: the command judges its own options, and says what is wrong with them.
  return parseArgs({
    args: given,
    options: {
      inventory: { type: "string", short: "i" },
      credentials: { type: "string", short: "c" },
      cacert: { type: "string" },
      cert: { type: "string" },
      key: { type: "string" },
      stack: { type: "string", short: "s" },
      node: { type: "string", short: "n", multiple: true },
      help: { type: "boolean", short: "h" },
    },
    strict: false,
  });
}
