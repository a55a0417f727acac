import type { ClusterArgs } from "../../../components/cluster/args";

/** A cluster of redis-server processes on this machine. Everything has a default: `new LocalRedisCluster("dev")` works. */
export interface LocalRedisClusterArgs extends ClusterArgs {
  /** Names of the simulated zones. On Linux each has a loopback address of its own: 127.0.1.1, 127.0.2.1, …; on macOS, where only 127.0.0.1 exists, they differ by ports alone. Default: `["zone-a", "zone-b", "zone-c"]`. */
  zones?: string[];
  /** Folder for the data, absolute or relative to the project's folder; inside it `<stack>/<cluster>/<node>`. Default: `".local/data"`. */
  directory?: string;
  /** The redis-server or valkey-server to run: a path, or a name on PATH. Default: REDIS_SERVER, else what is on PATH, else what `npm run up` has unpacked into `.local/servers`. */
  serverBinary?: string;
}

export const LOCAL_DEFAULTS = {
  zones: ["zone-a", "zone-b", "zone-c"],
  directory: ".local/data",
} as const;
