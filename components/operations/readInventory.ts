import { type ClusterInventory, INVENTORY_VERSION } from "../cluster/inventory";

/** The text is no inventory; the message says what was found and what is wanted. */
export class NoInventory extends Error {
  override name = "NoInventory";
}

/**
 * The inventories in a JSON text: one, or an object of several under names of their own, such as all outputs of a stack.
 * @throws NoInventory
 */
export function readInventories(text: string, source: string): ClusterInventory[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new NoInventory(
      `${source} is not JSON (${error instanceof Error ? error.message : error}); it should hold the stack's output \`inventory\``,
    );
  }
  const found = looksLikeInventory(value)
    ? [value]
    : isObject(value)
      ? Object.values(value).filter(looksLikeInventory)
      : [];
  if (found.length === 0) {
    throw new NoInventory(
      `${source} holds no inventory; export a cluster's \`inventory\` as a stack output, or give what \`pulumi stack output inventory --json\` prints`,
    );
  }
  for (const inventory of found) {
    if (inventory.version > INVENTORY_VERSION) {
      throw new NoInventory(
        `${source} has inventory version ${inventory.version}, this command knows up to ${INVENTORY_VERSION}; update the package pulumi-redis-cluster`,
      );
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function looksLikeInventory(value: unknown): value is ClusterInventory {
  return (
    isObject(value) &&
    typeof value.version === "number" &&
    typeof value.name === "string" &&
    isObject(value.engine) &&
    Array.isArray(value.zones) &&
    Array.isArray(value.shards) &&
    value.shards.every(
      (shard) =>
        isObject(shard) && Array.isArray(shard.slots) && Array.isArray(shard.nodes) && shard.nodes.every(isNode),
    )
  );
}

function isNode(value: unknown): boolean {
  return (
    isObject(value) &&
    ["name", "zone", "address", "id"].every((key) => typeof value[key] === "string") &&
    Number.isInteger(value.port)
  );
}
