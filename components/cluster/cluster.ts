import * as pulumi from "@pulumi/pulumi";
import { clusterDirectives, normalizeSetting } from "../config";
import type { NodeEndpoint } from "../config/types";
import type { Access } from "../formation/wire";
import { DEFAULTS_VERSION } from "../spec/defaults";
import { ordinalOf } from "../spec/ordinals";
import type { ClusterSpec } from "../spec/spec";
import { place } from "../topology/place";
import type { TopologyPlan } from "../topology/plan";
import { type Certificates, declareCertificates, hostnameOf, inventoryTls } from "./certificates";
import type { Declaration } from "./declare";
import { type ClusterCredentials, type ClusterInventory, INVENTORY_VERSION, type InventoryTls } from "./inventory";
import { declareLogins, type Logins } from "./logins";
import type { NodeLogin, NodeTls, Platform, PlatformNode } from "./platform";
import { ClusterFormation, NodeGuard } from "./resources";

/** How many nodes a guard may ask about its own: the first of the chain, which scaling leaves alone. */
const GUARD_PEERS = 3;

/**
 * A Redis or Valkey cluster: nodes in zones, made by a platform, formed into one cluster and verified. Platforms
 * extend it with arguments of their own; outputs are the same everywhere.
 */
export class RedisCluster extends pulumi.ComponentResource {
  /** What the cluster is: shards, nodes, zones, addresses, slots. Versioned, and without any secret. */
  readonly inventory: pulumi.Output<ClusterInventory>;
  /** How to log in, as a secret. */
  readonly credentials: pulumi.Output<ClusterCredentials>;
  /** `address:port` of every node, for clients that find the rest by themselves. Known as soon as the nodes are. */
  readonly seeds: pulumi.Output<string[]>;
  /** PEM of every authority that certificates of nodes may come from: what clients trust. Empty without TLS. */
  readonly caCertificatePem: pulumi.Output<string>;

  protected constructor(
    type: string,
    name: string,
    { spec, warnings, given, platform, passwords, tlsMaterial }: Declaration,
    opts?: pulumi.ComponentResourceOptions,
  ) {
    super(type, name, {}, opts);
    for (const { property, message } of warnings) pulumi.log.warn(`${property}: ${message}`, this);

    const plan = place(spec);
    const logins = declareLogins(spec, passwords, this);
    const certificates = declareCertificates(spec, plan, platform, tlsMaterial, this);
    const access = accessOf(logins, certificates);
    const secrets: Secrets = { logins, certificates, access: withWays(access, platform.waysTo?.(spec, this)) };
    const nodes = this.#declareNodes(spec, plan, platform, secrets);
    const endpoints = pulumi.all(Object.fromEntries([...nodes].map(([node, { endpoint }]) => [node, endpoint])));
    const formation = new ClusterFormation(
      name,
      {
        cluster: name,
        declaration: { defaultsVersion: DEFAULTS_VERSION, given },
        engine: spec.engine,
        plan,
        endpoints,
        settings: liveSettings(spec),
        nodeTimeoutMilliseconds: spec.nodeTimeoutMilliseconds,
        access: secrets.access ?? {},
        ...(logins ? { users: logins.users, passwords: logins.passwords } : {}),
        ...(spec.tls && certificates
          ? {
              tls: { clientAuth: spec.tls.clientAuth, overlapSeconds: spec.tls.overlapSeconds },
              issued: certificates.issued,
            }
          : {}),
        ...(Object.keys(spec.migration).length > 0 ? { migration: spec.migration } : {}),
        // Only where it differs from what every state so far means by its absence.
        ...(spec.shardsAtOnce > 1 ? { shardsAtOnce: spec.shardsAtOnce } : {}),
      },
      {
        parent: this,
        dependsOn: [...nodes.values()].map((n) => n.guard),
        ...(secrets.access ? { additionalSecretOutputs: ["access", "passwords", "issued"] } : {}),
      },
    );
    const inForce = spec.tls ? formation.certificatesInForce : pulumi.output(undefined);
    const tlsCredentials = certificates?.credentials(inForce);

    this.inventory = pulumi
      .all([formation.shards, formation.verifiedAt, inForce])
      .apply(([shards, verifiedAt, proved]) => ({
        version: INVENTORY_VERSION,
        name,
        platform: spec.platform,
        engine: spec.engine,
        zones: [...plan.zones],
        shards,
        nodeTimeoutMilliseconds: spec.nodeTimeoutMilliseconds,
        survives: plan.survives,
        ...withTls(inventoryTls(spec, proved)),
        verifiedAt,
      }));
    this.credentials = pulumi
      .all([logins?.credentials ?? pulumi.secret({ username: "default" }), tlsCredentials])
      .apply(([login, tls]) => ({ ...login, ...(tls ? { tls } : {}) }));
    this.caCertificatePem = tlsCredentials
      ? pulumi.unsecret(tlsCredentials.apply((tls) => tls.caCertificatePem))
      : pulumi.output("");
    this.seeds = endpoints.apply((all) =>
      Object.values(all)
        .map(({ address, port }) => `${address}:${port}`)
        .sort(),
    );
    this.registerOutputs({
      inventory: this.inventory,
      credentials: this.credentials,
      seeds: this.seeds,
      ...(spec.tls ? { caCertificatePem: this.caCertificatePem } : {}),
    });
  }

  /**
   * Every node with its guard, chained: replicas first, then those that lead by plan, so that a roll ends with leaders. There
   * are as many chains as shards may roll at once, each with shards of its own, so that no two nodes of one shard are down.
   */
  #declareNodes(
    spec: ClusterSpec,
    plan: TopologyPlan,
    platform: Platform,
    { logins, certificates, access }: Secrets,
  ): Map<string, DeclaredNode> {
    const directives = clusterDirectives(spec);
    const numbered = plan.shards.flatMap((shard, i) =>
      shard.nodes.map((node, k) => ({
        node,
        leads: k === 0,
        ordinal: ordinalOf(i, k),
        chain: i % spec.shardsAtOnce,
      })),
    );
    const inRollingOrder = [...numbered.filter((n) => !n.leads), ...numbered.filter((n) => n.leads)];
    const declared = new Map<string, DeclaredNode>();
    // A node may only name those before it in its own chain: naming others would tie the chains together.
    const chains = Array.from({ length: spec.shardsAtOnce }, (): DeclaredNode[] => []);
    for (const { node, ordinal, chain } of inRollingOrder) {
      const before = chains[chain] ?? [];
      const after = before.slice(-1).map((n) => n.guard);
      const secret = {
        ...(logins ? { login: nodeLogin(logins, access) } : {}),
        ...(certificates ? { tls: nodeTls(certificates, node.name, access) } : {}),
      };
      const request = { spec, node, ordinal, directives, parent: this, after, ...secret };
      const hostname = hostnameOf(spec, node);
      const platformNode = platform.declareNode(request);
      const made = {
        ...platformNode,
        endpoint: platformNode.endpoint.apply((e) => (hostname === undefined ? e : { ...e, hostname })),
      };
      const guard = new NodeGuard(
        `${node.name}-guard`,
        {
          cluster: spec.name,
          node: node.name,
          endpoint: made.endpoint,
          peers: pulumi.all(before.slice(0, GUARD_PEERS).map((n) => n.endpoint)),
          instance: made.instance,
          dataOnDestroy: spec.dataOnDestroy,
          replicasPerMaster: spec.replicasPerMaster,
          onDisk: spec.persistence.mode !== "none",
          access: access ?? {},
        },
        {
          parent: this,
          dependsOn: [made.machine],
          ...(access ? { additionalSecretOutputs: ["access"] } : {}),
        },
      );
      before.push({ ...made, guard });
      declared.set(node.name, { ...made, guard });
    }
    return new Map([...declared].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** What is made for the nodes and is not plain. */
interface Secrets {
  readonly logins: Logins | undefined;
  readonly certificates: Certificates | undefined;
  /** How the component itself speaks to nodes; absent where that takes no secret. */
  readonly access: pulumi.Output<Access> | undefined;
}

function accessOf(
  logins: Logins | undefined,
  certificates: Certificates | undefined,
): pulumi.Output<Access> | undefined {
  if (!certificates) return logins?.access;
  const login = logins?.access ?? pulumi.output<Access>({});
  return pulumi.all([login, certificates.access]).apply(([as, tls]) => ({ ...as, tls }));
}

function withWays(
  access: pulumi.Output<Access> | undefined,
  ways: pulumi.Output<Readonly<Record<string, string>>> | undefined,
): pulumi.Output<Access> | undefined {
  if (!ways) return access;
  return pulumi.all([access ?? {}, ways]).apply(([as, to]) => ({ ...as, ways: to }));
}

function nodeLogin(logins: Logins, access: pulumi.Output<Access> | undefined): pulumi.Output<NodeLogin> {
  return pulumi.all([logins.node, access ?? {}]).apply(([login, whole]) => ({ ...login, access: whole }));
}

function nodeTls(
  certificates: Certificates,
  node: string,
  access: pulumi.Output<Access> | undefined,
): pulumi.Output<NodeTls> {
  return pulumi
    .all([certificates.filesOf(node), access ?? {}])
    .apply(([files, whole]) => ({ ...files, access: whole }));
}

function withTls(tls: InventoryTls | undefined): Pick<ClusterInventory, "tls"> {
  return tls ? { tls } : {};
}

interface DeclaredNode extends PlatformNode {
  readonly endpoint: pulumi.Output<NodeEndpoint>;
  readonly guard: NodeGuard;
}

/** What formation sets and watches on every node: as CONFIG GET prints it. */
export function liveSettings(spec: ClusterSpec): Record<string, string> {
  return Object.fromEntries(
    clusterDirectives(spec).live.map(({ name, value }) => [name, normalizeSetting(name, value)]),
  );
}
