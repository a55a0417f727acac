import * as pulumi from "@pulumi/pulumi";
import { RedisCluster } from "../../../components/cluster/cluster";
import { type Declaration, declare } from "../../../components/cluster/declare";
import { LOCAL_DEFAULTS, type LocalRedisClusterArgs } from "./args";
import { localPlatform } from "./platform";
import { PORT_STRIDE } from "./runner/types";
import { findServer } from "./server";

/**
 * A Redis or Valkey cluster of server processes on this machine, bound to loopback, without TLS or passwords: for
 * development, tests and learning. `new LocalRedisCluster("dev")` is a whole cluster: 3 masters and 3 replicas in 3 zones.
 */
export class LocalRedisCluster extends RedisCluster {
  /**
   * @param name prefix of every node's name: letters, digits and hyphens
   * @throws RunError at preview, with all problems of the arguments at once
   */
  constructor(name: string, args: LocalRedisClusterArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("redis-cluster:index:LocalRedisCluster", name, declareLocal(name, args), opts);
  }
}

function declareLocal(name: string, args: LocalRedisClusterArgs): Declaration {
  const server = findServer(args.serverBinary);
  const facts = {
    platform: "local",
    zones: args.zones ?? LOCAL_DEFAULTS.zones,
    defaultEngine: server.engine,
    numberedPorts: PORT_STRIDE,
    platformArguments: ["zones", "directory", "serverBinary"],
  };
  return declare(name, args, facts, (spec) => {
    const { name: engine, version } = spec.engine;
    const found = server.engine;
    if (engine !== found.name || !`${found.version}.`.startsWith(`${version}.`)) {
      throw new pulumi.RunError(
        `engine: ${engine} ${version} is declared, but ${server.path} is ${found.name} ${found.version}; leave \`engine\` out, or point \`serverBinary\` to the declared one`,
      );
    }
    return localPlatform({
      serverPath: server.path,
      engine: found,
      directory: args.directory ?? LOCAL_DEFAULTS.directory,
      stack: pulumi.getStack(),
      fixedPorts: args.port !== undefined,
    });
  });
}
