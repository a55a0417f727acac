export type { ExistingNodeArgs, ExistingRedisClusterArgs } from "./args";
export { ExistingRedisCluster } from "./cluster";
