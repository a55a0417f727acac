import type * as pulumi from "@pulumi/pulumi";
import type { NodeLogin, NodeTls } from "../../../components/cluster/platform";
import { FrozenResource } from "../../../components/cluster/shim";
import type { NodeDeclaration, VolumeDeclaration } from "./runner/types";

const RUNNER = "pulumi-redis-cluster/local/runner";

/** `pulumi-nodejs:dynamic/redis-cluster:LocalVolume`: a node's data folder. */
export class LocalVolume extends FrozenResource {
  declare readonly path: pulumi.Output<string>;
  declare readonly token: pulumi.Output<string>;

  constructor(name: string, volume: VolumeDeclaration, opts: pulumi.CustomResourceOptions) {
    super({ entry: RUNNER, kind: "LocalVolume" }, name, { inputs: volume, outputs: ["token", "present"] }, opts);
  }
}

/** `pulumi-nodejs:dynamic/redis-cluster:LocalNode`: a server process on such a folder. */
export class LocalNode extends FrozenResource {
  declare readonly address: pulumi.Output<string>;
  declare readonly port: pulumi.Output<number>;
  declare readonly busPort: pulumi.Output<number>;
  declare readonly instance: pulumi.Output<string>;

  constructor(
    name: string,
    node: Omit<NodeDeclaration, "volume" | "login" | "tls"> & {
      volume: { path: string; token: pulumi.Input<string> };
      login?: pulumi.Input<NodeLogin>;
      tls?: pulumi.Input<NodeTls>;
    },
    opts: pulumi.CustomResourceOptions,
  ) {
    const outputs = ["address", "port", "busPort", "instance", "running"];
    const rolled = { ...opts, deleteBeforeReplace: true };
    super({ entry: RUNNER, kind: "LocalNode" }, name, { inputs: node, outputs }, rolled);
  }
}
