/**
 * What every platform shares: the types of arguments and outputs, and helpers for sizing and hash slots. Clusters are
 * in the platforms' own entries, such as `pulumi-redis-cluster/local`, so that none loads another's SDK.
 */
export type { ClusterCredentials, ClusterInventory, InventoryNode, InventoryShard } from "./cluster/inventory";
export { INVENTORY_VERSION } from "./cluster/inventory";
export type {
  EngineArgs,
  MigrationArgs,
  PersistenceArgs,
  RedisClusterArgs,
  RollingArgs,
  SavePointArgs,
} from "./spec/args";
export { keySlot } from "./spec/keySlot";
export * from "./spec/memory";
export type { Engine, EngineName } from "./spec/spec";
export type { Survival, Verdict } from "./topology/plan";
