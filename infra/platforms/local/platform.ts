import * as path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { NodeRequest, Platform, PlatformNode } from "../../../components/cluster/platform";
import type { Engine } from "../../../components/spec/spec";
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
  };
}

function declareNode(options: LocalPlatformOptions, request: NodeRequest): PlatformNode {
  const { spec, node, parent } = request;
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
    },
    {
      parent,
      dependsOn: [volume, ...request.after],
      ...(request.login ? { additionalSecretOutputs: ["login"] } : {}),
    },
  );
  return {
    endpoint: pulumi
      .all([machine.address, machine.port, machine.busPort])
      .apply(([address, port, busPort]) => ({ address, port, busPort })),
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
