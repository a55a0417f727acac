export type { DockerRedisClusterArgs, PublishArgs } from "./args";
export { DockerRedisCluster } from "./cluster";
