import { readFileSync } from "node:fs";
import { Cluster } from "ioredis";
import { clusterOptions, handleChanges, transact, watchCluster } from "pulumi-redis-cluster/client";

// What `pulumi stack output --json --show-secrets` prints, from wherever the application gets its secrets.
const { inventory, credentials } = JSON.parse(readFileSync(0, "utf8"));

const { seeds, options, nodes } = clusterOptions(inventory, credentials, { readFrom: "replicas" });
const redis = handleChanges(new Cluster(seeds, options));
watchCluster(redis, nodes, {
  failover: ({ slots, from, to }) =>
    console.error(`slots ${slots.join(", ")}: ${to.name} in ${to.zone} took over from ${from.name}`),
  nodeError: (error, node) => console.error(`${node.name} in ${node.zone}: ${error.message}`),
  unreachable: (error) => console.error(`no node answers: ${error.message}`),
});

const session = "session:{7}";
await redis.hset(session, "name", "Ada");
// One key or many of one slot, as a transaction: it gets through while that slot moves to another master.
await transact(redis, session, (multi) => multi.hincrby(session, "visits", 1).expire(session, 3600));
// A replica may not have it yet; what was written just now is read from a master by `multi`, or waited for with WAIT.
const answers = await redis.multi().hgetall(session).exec();
console.log(JSON.stringify(answers?.[0]?.[1]));
await redis.quit();
