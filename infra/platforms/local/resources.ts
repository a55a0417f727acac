import * as pulumi from "@pulumi/pulumi";
import { frozenProvider } from "../../../components/cluster/shim";
import type { NodeDeclaration, VolumeDeclaration } from "./runner/types";

const RUNNER = "pulumi-redis-cluster/local/runner";
const MODULE = "redis-cluster";

/** `pulumi-nodejs:dynamic/redis-cluster:LocalVolume`: a node's data folder. */
export class LocalVolume extends pulumi.dynamic.Resource {
  declare readonly path: pulumi.Output<string>;
  declare readonly token: pulumi.Output<string>;

  constructor(name: string, volume: VolumeDeclaration, opts: pulumi.CustomResourceOptions) {
    super(
      frozenProvider(RUNNER, "LocalVolume"),
      name,
      { token: undefined, present: undefined, ...volume },
      opts,
      MODULE,
      "LocalVolume",
    );
  }
}

/** `pulumi-nodejs:dynamic/redis-cluster:LocalNode`: a server process on such a folder. */
export class LocalNode extends pulumi.dynamic.Resource {
  declare readonly address: pulumi.Output<string>;
  declare readonly port: pulumi.Output<number>;
  declare readonly busPort: pulumi.Output<number>;
  declare readonly instance: pulumi.Output<string>;

  constructor(
    name: string,
    node: Omit<NodeDeclaration, "volume"> & { volume: { path: string; token: pulumi.Input<string> } },
    opts: pulumi.CustomResourceOptions,
  ) {
    const outputs = {
      address: undefined,
      port: undefined,
      busPort: undefined,
      instance: undefined,
      running: undefined,
    };
    super(
      frozenProvider(RUNNER, "LocalNode"),
      name,
      { ...outputs, ...node },
      { ...opts, deleteBeforeReplace: true },
      MODULE,
      "LocalNode",
    );
  }
}
