import * as pulumi from "@pulumi/pulumi";
import {
  type ClusterCredentials,
  type ClusterInventory,
  INVENTORY_VERSION,
} from "../../../components/cluster/inventory";
import { DEFAULTS_VERSION } from "../../../components/spec/defaults";
import { accessOf, credentialsOf, tlsOfInventory } from "./access";
import type { ExistingRedisClusterArgs } from "./args";
import { declareExisting } from "./declare";
import { ExistingFormation } from "./resources";

/**
 * A cluster over hosts that somebody else provides. An existing cluster comes under management as it is: shards, roles and
 * slots are recognised, and nothing is sent to change them. Blank hosts are formed into a cluster. From then on hosts can be
 * added and taken out, live settings declared, and what fails is mended; machines are never replaced, rolled or stopped.
 *
 * It makes no machine, so it does not go through the platform port: all of it is one formation.
 */
export class ExistingRedisCluster extends pulumi.ComponentResource {
  /** What the cluster is: shards, nodes, zones, addresses, slots. Versioned, and without any secret. */
  readonly inventory: pulumi.Output<ClusterInventory>;
  /** How to log in, as a secret. */
  readonly credentials: pulumi.Output<ClusterCredentials>;
  /** `address:port` of every node, for clients that find the rest by themselves. */
  readonly seeds: pulumi.Output<string[]>;
  /** PEM of the authorities that clients trust, as given. Empty without TLS. */
  readonly caCertificatePem: pulumi.Output<string>;

  /**
   * @param name prefix of the names of nodes that have none of their own: letters, digits and hyphens
   * @throws RunError at preview, with all problems of the arguments at once
   */
  constructor(name: string, args: ExistingRedisClusterArgs, opts?: pulumi.ComponentResourceOptions) {
    const { hosts, wishes, engine, settings, username, migration, given, warnings } = declareExisting(name, args);
    super("redis-cluster:index:ExistingRedisCluster", name, {}, opts);
    for (const { property, message } of warnings) pulumi.log.warn(`${property}: ${message}`, this);

    const password = args.password === undefined ? undefined : pulumi.secret(args.password);
    const login = { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
    const proxy = args.connection?.proxy;
    const { tls } = args;
    const formation = new ExistingFormation(
      name,
      {
        cluster: name,
        declaration: { defaultsVersion: DEFAULTS_VERSION, given },
        hosts,
        wishes,
        ...(engine === undefined ? {} : { declaredEngine: engine }),
        settings,
        ...(Object.keys(migration).length > 0 ? { migration } : {}),
        access: accessOf(login, tls, proxy),
      },
      { parent: this, ...(password === undefined && !proxy && !tls ? {} : { additionalSecretOutputs: ["access"] }) },
    );

    this.inventory = pulumi
      .all([
        formation.shards,
        formation.verifiedAt,
        formation.engine,
        formation.plan,
        formation.nodeTimeoutMilliseconds,
      ])
      .apply(([shards, verifiedAt, runs, plan, nodeTimeoutMilliseconds]) => ({
        version: INVENTORY_VERSION,
        name,
        platform: "existing",
        engine: runs,
        zones: [...plan.zones],
        shards,
        nodeTimeoutMilliseconds,
        survives: plan.survives,
        ...(tls ? { tls: tlsOfInventory(tls) } : {}),
        verifiedAt,
      }));
    const forClients = { username: "default", ...login, ...(tls ? { tls: credentialsOf(tls) } : {}) };
    this.credentials = pulumi.secret(pulumi.output(forClients)) as pulumi.Output<ClusterCredentials>;
    this.caCertificatePem = pulumi.output(tls?.caCertificatePem ?? "");
    this.seeds = pulumi.output(hosts.map(({ endpoint: { address, port } }) => `${address}:${port}`).sort());
    this.registerOutputs({ inventory: this.inventory, credentials: this.credentials, seeds: this.seeds });
  }
}
