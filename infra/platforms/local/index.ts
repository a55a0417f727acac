export type { LocalRedisClusterArgs } from "./args";
export { LocalRedisCluster } from "./cluster";
