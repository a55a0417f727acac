import * as pulumi from "@pulumi/pulumi";
import type { FormationInputs } from "../formation/runner/formation";
import type { GuardInputs } from "../formation/runner/guard";
import type { InventoryShard } from "./inventory";
import { frozenProvider } from "./shim";

const RUNNER = "pulumi-redis-cluster/runner";

/** Arguments as a program gives them: each may be an output. */
export type Inputs<T> = { [K in keyof T]: pulumi.Input<T[K]> };

/** The post-deploy step: forms the cluster over existing nodes, verifies it, and mends what differs on every `up`. */
export class ClusterFormation extends pulumi.dynamic.Resource {
  declare readonly shards: pulumi.Output<InventoryShard[]>;
  declare readonly verifiedAt: pulumi.Output<string>;

  constructor(name: string, inputs: Inputs<FormationInputs>, opts: pulumi.CustomResourceOptions) {
    const outputs = {
      members: undefined,
      shards: undefined,
      issues: undefined,
      unfinished: undefined,
      verifiedAt: undefined,
    };
    super(
      frozenProvider(RUNNER, "ClusterFormation"),
      name,
      { ...outputs, ...inputs },
      opts,
      "redis-cluster",
      "ClusterFormation",
    );
  }
}

/** Stands before one machine: see `guardRunner`. */
export class NodeGuard extends pulumi.dynamic.Resource {
  constructor(name: string, inputs: Inputs<GuardInputs>, opts: pulumi.CustomResourceOptions) {
    super(
      frozenProvider(RUNNER, "NodeGuard"),
      name,
      { ...inputs },
      { ...opts, deleteBeforeReplace: true },
      "redis-cluster",
      "NodeGuard",
    );
  }
}
