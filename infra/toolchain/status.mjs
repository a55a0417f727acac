// What `npm run status` hands to `redis-cluster status`: the inventory of a stack, unless its caller says which cluster it is about.

import { parseArgs } from "node:util";
import { inventoryOf } from "./stack.mjs";

/** @param find where a stack's inventory is */
export function statusArguments(given, find = inventoryOf) {
  // Not strict: the command judges its own options, and says what is wrong with them.
  const { values } = parseArgs({
    args: given,
    options: {
      inventory: { type: "string", short: "i" },
      stack: { type: "string", short: "s" },
      node: { type: "string", short: "n", multiple: true },
      help: { type: "boolean", short: "h" },
    },
    strict: false,
  });
  if (values.inventory !== undefined || values.node !== undefined || values.help) return given;
  const { file, rest } = find(given);
  return ["--inventory", file, ...rest];
}
