import * as docker from "@pulumi/docker";
import * as pulumi from "@pulumi/pulumi";
import { hostnameOf } from "../../../components/cluster/certificates";
import type { NodeRequest, Platform, PlatformNode } from "../../../components/cluster/platform";
import { BUS_PORT_OFFSET } from "../../../components/config/types";
import { ordinalOf } from "../../../components/spec/ordinals";
import type { ClusterSpec } from "../../../components/spec/spec";
import { place } from "../../../components/topology/place";
import { DockerNetwork, DockerNode } from "./resources";
import { HEALTH_COMMAND } from "./runner/health";
import { DATA_FOLDER, LABELS, SERVER_USER, STOP_GRACE_SECONDS } from "./runner/types";

export interface DockerPlatformOptions {
  readonly image: string;
  /** Empty: one is found. */
  readonly subnet: string;
  /** Absent: nodes have no port of the host. */
  readonly publish?: { readonly address: string; readonly firstPort: number };
  /** Pulumi's machine reaches nodes through these ports, not at their addresses. */
  readonly reachesPublished: boolean;
  readonly openFiles: number;
  /** Memory of one node, in bytes. Absent: no limit. */
  readonly nodeMemoryBytes?: number;
  /** Empty: DOCKER_HOST, else this machine's own. */
  readonly dockerHost: string;
  readonly project: string;
  readonly stack: string;
}

/** Each check starts processes in the container, about 80 ms of CPU: at 5 s, a dozen nodes cost a fifth of a core for nothing. */
const HEALTH_CHECK = { tests: [...HEALTH_COMMAND], interval: "15s", timeout: "3s", retries: 3, startPeriod: "30s" };

/** What all nodes of a cluster share. */
interface Shared {
  readonly network: DockerNetwork;
  readonly image: docker.RemoteImage;
  readonly provider?: docker.Provider;
}

/** Nodes as containers in a network of their own, each at an address that stays. */
export function dockerPlatform(options: DockerPlatformOptions, spec: ClusterSpec): Platform {
  let made: Shared | undefined;
  const shared = (parent: pulumi.Resource) => {
    made ??= declareShared(options, spec, parent);
    return made;
  };
  return {
    name: "docker",
    declareNode: (request) => declareNode(options, shared(request.parent), request),
    waysTo: (_spec, parent) => waysTo(options, spec, shared(parent).network),
    namesOf: ({ node, parent }) =>
      shared(parent).network.addresses.apply((addresses) => {
        const address = addresses[node.name] ?? "";
        return {
          // The host's own too, for those who come through a published port.
          addresses: [
            ...new Set([
              address,
              "127.0.0.1",
              "::1",
              ...(isAddress(options.publish?.address) ? [options.publish?.address ?? ""] : []),
            ]),
          ],
          dnsNames: ["localhost", ...(node.name.length <= 63 ? [node.name.toLowerCase()] : [])],
          required: [address],
        };
      }),
  };
}

function waysTo(
  { publish, reachesPublished }: DockerPlatformOptions,
  { port }: ClusterSpec,
  { addresses, numbers }: DockerNetwork,
): pulumi.Output<Record<string, string>> | undefined {
  if (!publish || !reachesPublished) return undefined;
  const host = publish.address === "0.0.0.0" ? "127.0.0.1" : publish.address;
  return pulumi
    .all([addresses, numbers])
    .apply(([at, numbered]) =>
      Object.fromEntries(
        Object.entries(at).map(([node, address]) => [
          `${address}:${port}`,
          `${host}:${publishedPort(publish, numbered, node)}`,
        ]),
      ),
    );
}

/** @param numbers of nodes in their network, by name */
function publishedPort(
  { firstPort }: NonNullable<DockerPlatformOptions["publish"]>,
  numbers: Readonly<Record<string, number>>,
  node: string,
): number {
  return firstPort + (numbers[node] ?? 0);
}

function isAddress(text: string | undefined): boolean {
  return text !== undefined && text !== "0.0.0.0";
}

function declareShared(options: DockerPlatformOptions, spec: ClusterSpec, parent: pulumi.Resource): Shared {
  const { dockerHost, project, stack } = options;
  const provider = dockerHost === "" ? undefined : new docker.Provider(spec.name, { host: dockerHost }, { parent });
  const nodes = place(spec).shards.flatMap((shard, i) =>
    shard.nodes.map((node, k) => [node.name, ordinalOf(i, k)] as const),
  );
  const network = new DockerNetwork(
    spec.name,
    {
      cluster: spec.name,
      name: [project, stack, spec.name].join("-"),
      owner: ownerOf(options, spec),
      wantedSubnet: options.subnet,
      nodes: Object.fromEntries(nodes),
      ...(options.nodeMemoryBytes === undefined ? {} : { nodeMemoryBytes: options.nodeMemoryBytes }),
      dockerHost,
    },
    { parent },
  );
  const image = new docker.RemoteImage(
    spec.name,
    // Other stacks, and people, may use it too.
    { name: options.image, keepLocally: true },
    { parent, ...(provider ? { provider } : {}) },
  );
  return { network, image, ...(provider ? { provider } : {}) };
}

function ownerOf({ project, stack }: DockerPlatformOptions, spec: ClusterSpec): string {
  return [project, stack, spec.name].join("/");
}

function declareNode(options: DockerPlatformOptions, shared: Shared, request: NodeRequest): PlatformNode {
  const { spec, node, parent } = request;
  const plain = spec.tls?.plainPort === undefined ? {} : { plainPort: spec.tls.plainPort };
  const hostname = hostnameOf(spec, node);
  const owner = ownerOf(options, spec);
  const labels = [
    { label: LABELS.owner, value: owner },
    { label: LABELS.cluster, value: spec.name },
    { label: LABELS.node, value: node.name },
    { label: LABELS.zone, value: node.zone },
  ];
  const ofDocker = { parent, ...(shared.provider ? { provider: shared.provider } : {}) };
  const volume = new docker.Volume(
    node.name,
    { name: [options.project, options.stack, node.name].join("-"), labels },
    // After the network, which refuses what is to be refused before anything is touched.
    { ...ofDocker, retainOnDelete: spec.dataOnDestroy !== "delete", dependsOn: [shared.network] },
  );
  const address = shared.network.addresses.apply((addresses) => addresses[node.name] ?? "");
  const container = new docker.Container(
    node.name,
    containerArgs(options, request, { shared, address, volume: volume.name, labels }),
    { ...ofDocker, deleteBeforeReplace: true, dependsOn: [shared.network, volume, ...request.after] },
  );
  const { publish } = options;
  const endpoint = pulumi.all([address, shared.network.numbers]).apply(([at, numbers]) => ({
    address: at,
    port: spec.port,
    busPort: spec.port + BUS_PORT_OFFSET,
    ...plain,
    ...(publish ? { published: { address: publish.address, port: publishedPort(publish, numbers, node.name) } } : {}),
  }));
  const machine = new DockerNode(
    node.name,
    {
      cluster: spec.name,
      name: node.name,
      zone: node.zone,
      owner,
      engine: spec.engine,
      image: shared.image.imageId,
      containerId: container.id,
      volume: volume.name,
      endpoint: endpoint.apply((at) => (hostname === undefined ? at : { ...at, hostname })),
      boot: [...request.directives.boot],
      live: [...request.directives.live],
      ...(spec.shardsAtOnce > 1 ? { shardsAtOnce: spec.shardsAtOnce } : {}),
      ...(request.login ? { login: request.login } : {}),
      ...(request.tls ? { tls: request.tls } : {}),
      dockerHost: options.dockerHost,
      ...(options.reachesPublished ? { reachesPublished: true } : {}),
    },
    {
      parent,
      dependsOn: [container],
      ...(request.login || request.tls ? { additionalSecretOutputs: ["login", "tls"] } : {}),
    },
  );
  return { endpoint, instance: machine.instance, machine };
}

const MEBIBYTE = 1024 ** 2;

/**
 * What a container is made of. Almost any change of these replaces it, so nothing is among them that can be set on a
 * running server, and nothing secret: that all is in files on the volume.
 */
function containerArgs(
  { publish, openFiles, nodeMemoryBytes }: DockerPlatformOptions,
  { spec, node }: NodeRequest,
  made: {
    readonly shared: Shared;
    readonly address: pulumi.Output<string>;
    readonly volume: pulumi.Output<string>;
    readonly labels: { label: string; value: string }[];
  },
): docker.ContainerArgs {
  const memory = nodeMemoryBytes === undefined ? undefined : Math.floor(nodeMemoryBytes / MEBIBYTE);
  return {
    image: made.shared.image.imageId,
    // Whatever the server writes, passwords of users and replicas among it, is for its own user alone.
    entrypoints: ["/bin/sh", "-c", `umask 077; exec ${spec.engine.name}-server ${DATA_FOLDER}/redis.conf`],
    hostname: node.name,
    user: `${SERVER_USER.uid}:${SERVER_USER.gid}`,
    networksAdvanced: [{ name: made.shared.network.id, ipv4Address: made.address, aliases: [node.name.toLowerCase()] }],
    volumes: [{ volumeName: made.volume, containerPath: DATA_FOLDER }],
    labels: made.labels,
    // What starts it is DockerNode, once its files are there.
    start: false,
    mustRun: false,
    restart: comesBackWhole(spec) ? "unless-stopped" : "no",
    readOnly: true,
    capabilities: { drops: ["ALL"] },
    securityOpts: ["no-new-privileges:true"],
    ulimits: [{ name: "nofile", soft: openFiles, hard: openFiles }],
    ...(memory === undefined ? {} : { memory, memorySwap: memory }),
    stopTimeout: STOP_GRACE_SECONDS,
    destroyGraceSeconds: STOP_GRACE_SECONDS,
    healthcheck: HEALTH_CHECK,
    ...(publish
      ? {
          ports: [
            {
              internal: spec.port,
              external: made.shared.network.numbers.apply((numbers) => publishedPort(publish, numbers, node.name)),
              ip: publish.address,
              protocol: "tcp",
            },
          ],
        }
      : {}),
  };
}

/**
 * Does a server that ended by itself come back with all that it had in memory? One that comes back with less would have its
 * replicas copy that, if it is back before one of them leads: so it stays away until the next `up`, or until it is started by hand.
 */
function comesBackWhole({ persistence, replicasPerMaster }: ClusterSpec): boolean {
  return replicasPerMaster === 0 || persistence.mode === "aof" || persistence.mode === "hybrid";
}
