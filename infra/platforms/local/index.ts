export { LOCAL_DEFAULTS, type LocalRedisClusterArgs } from "./args";
export { type LocalPlatformOptions, localPlatform } from "./platform";
export { type FoundServer, findServer } from "./server";
