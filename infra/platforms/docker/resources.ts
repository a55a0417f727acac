import type * as pulumi from "@pulumi/pulumi";
import type { NodeLogin, NodeTls } from "../../../components/cluster/platform";
import type { Inputs } from "../../../components/cluster/resources";
import { FrozenResource } from "../../../components/cluster/shim";
import type { NetworkDeclaration, NodeDeclaration } from "./runner/types";

const RUNNER = "pulumi-redis-cluster/docker/runner";

/** `pulumi-nodejs:dynamic/redis-cluster:DockerNetwork`: the cluster's own network, and the address of every node in it. */
export class DockerNetwork extends FrozenResource {
  declare readonly subnet: pulumi.Output<string>;
  declare readonly numbers: pulumi.Output<Record<string, number>>;
  declare readonly addresses: pulumi.Output<Record<string, string>>;

  constructor(name: string, network: NetworkDeclaration, opts: pulumi.CustomResourceOptions) {
    const outputs = ["subnet", "gateway", "ipRange", "numbers", "addresses", "present"];
    super(
      { entry: RUNNER, kind: "DockerNetwork" },
      name,
      { inputs: network, outputs },
      { ...opts, deleteBeforeReplace: true },
    );
  }
}

/** `pulumi-nodejs:dynamic/redis-cluster:DockerNode`: the server in a container, and its files. */
export class DockerNode extends FrozenResource {
  declare readonly instance: pulumi.Output<string>;

  constructor(
    name: string,
    node: Inputs<Omit<NodeDeclaration, "login" | "tls">> & {
      login?: pulumi.Input<NodeLogin>;
      tls?: pulumi.Input<NodeTls>;
    },
    opts: pulumi.CustomResourceOptions,
  ) {
    const rolled = { ...opts, deleteBeforeReplace: true };
    super({ entry: RUNNER, kind: "DockerNode" }, name, { inputs: node, outputs: ["instance", "state"] }, rolled);
  }
}
