import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { hostnameOf } from "../../../components/cluster/certificates";
import type { NodeRequest, Platform, PlatformNode } from "../../../components/cluster/platform";
import type { Engine } from "../../../components/spec/spec";
import type { PlannedNode } from "../../../components/topology/plan";
import { LocalNode, LocalVolume } from "./resources";

export interface LocalPlatformOptions {
  readonly serverPath: string;
  readonly engine: Engine;
  /** Root of the data, absolute or relative to the project's folder. */
  readonly directory: string;
  readonly stack: string;
  /** The user named the port, so nodes have exactly `spec.port`, `spec.port + 1`, … and nothing else. Default: false. */
  readonly fixedPorts?: boolean;
}

/** Nodes as processes of this machine: one loopback address a zone on Linux, ports alone elsewhere. */
export function localPlatform(options: LocalPlatformOptions): Platform {
  return {
    name: "local",
    declareNode: (request) => declareNode(options, request),
    namesOf: ({ spec, node }) => ({
      addresses: zoneAddresses(spec.zones.length),
      dnsNames: namesOf(node),
      required: [zoneAddress(spec.zones.indexOf(node.zone)).address],
    }),
  };
}

function declareNode(options: LocalPlatformOptions, request: NodeRequest): PlatformNode {
  const { spec, node, parent } = request;
  const plainPort = spec.tls?.plainPort;
  const plain = plainPort === undefined ? {} : { plainPort: plainPort + request.ordinal };
  const hostname = hostnameOf(spec, node);
  const folder = path.join(options.directory, options.stack, spec.name, node.name);
  const volume = new LocalVolume(
    node.name,
    {
      path: folder,
      owner: [pulumi.getProject(), options.stack, spec.name, node.name].join("/"),
      dataOnDestroy: spec.dataOnDestroy,
    },
    { parent },
  );
  const machine = new LocalNode(
    node.name,
    {
      cluster: spec.name,
      name: node.name,
      zone: node.zone,
      serverPath: options.serverPath,
      engine: options.engine,
      boot: request.directives.boot,
      live: request.directives.live,
      // The path is given plainly, so that ports are chosen (and shown) in the first preview too.
      volume: { path: folder, token: volume.token },
      hints: {
        ...zoneAddress(spec.zones.indexOf(node.zone)),
        firstPort: spec.port,
        fixedPorts: options.fixedPorts ?? false,
        offset: request.ordinal,
      },
      ...(spec.shardsAtOnce > 1 ? { shardsAtOnce: spec.shardsAtOnce } : {}),
      ...(request.login ? { login: request.login } : {}),
      ...(request.tls ? { tls: request.tls } : {}),
      ...plain,
      ...(hostname === undefined ? {} : { hostname }),
    },
    {
      parent,
      dependsOn: [volume, ...request.after],
      ...(request.login || request.tls ? { additionalSecretOutputs: ["login", "tls"] } : {}),
    },
  );
  return {
    endpoint: pulumi
      .all([machine.address, machine.port, machine.busPort])
      .apply(([address, port, busPort]) => ({ address, port, busPort, ...plain })),
    instance: machine.instance,
    machine,
  };
}

/** Linux answers on all of 127.0.0.0/8, so every zone gets an address that can be cut off alone; macOS has 127.0.0.1 only. */
export function zoneAddress(
  index: number,
  system: string = process.platform,
): { address: string; addressPerZone: boolean } {
  return system === "linux"
    ? { address: `127.0.${index + 1}.1`, addressPerZone: true }
    : { address: "127.0.0.1", addressPerZone: false };
}

/**
 * Every address that a node of so many zones may have: zones keep theirs when others come and go, so a certificate is good for any of
 * them. All are this machine's own.
 */
function zoneAddresses(zones: number): string[] {
  const own = Array.from({ length: 2 * zones + 4 }, (_, index) => zoneAddress(index).address);
  return [...new Set(["127.0.0.1", "::1", ...own])];
}

/** A node's own name, where it can be one of a host. */
function namesOf({ name }: PlannedNode): string[] {
  return ["localhost", ...(name.length <= 63 ? [name.toLowerCase()] : [])];
}
