import { LocalRedisCluster } from "pulumi-redis-cluster/local";

// Three masters and a replica of each, so that a server or a whole zone may go away and every key stays readable and
// writable. Everything left out here has a default; `pulumi preview` says what comes of it.
const sessions = new LocalRedisCluster("sessions", {
  masters: 3,
  replicasPerMaster: 1,
  zones: ["zone-a", "zone-b", "zone-c"],
  maxmemory: "100mb",
  maxmemoryPolicy: "volatile-lru",
  redisConfig: { "slowlog-log-slower-than": "5000" },
});

/** For applications and operators: shards, nodes, addresses, slots. Plain, without any secret. */
export const inventory = sessions.inventory;
/** Where clients begin: the rest they find by themselves. */
export const seeds = sessions.seeds;
/** How to log in; shown with `pulumi stack output --show-secrets`. */
export const credentials = sessions.credentials;
