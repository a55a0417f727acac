import * as pulumi from "@pulumi/pulumi";
import type { InventoryShard } from "../../../components/cluster/inventory";
import type { Inputs } from "../../../components/cluster/resources";
import { frozenProvider } from "../../../components/cluster/shim";
import type { ExistingInputs, ExistingOutputs } from "../../../components/formation/runner/existing";

/** Formation over given hosts: recognises what they are, keeps it that way, and carries out what is declared. */
export class ExistingFormation extends pulumi.dynamic.Resource {
  declare readonly shards: pulumi.Output<InventoryShard[]>;
  declare readonly verifiedAt: pulumi.Output<string>;
  declare readonly engine: pulumi.Output<ExistingOutputs["engine"]>;
  declare readonly plan: pulumi.Output<ExistingOutputs["plan"]>;
  declare readonly nodeTimeoutMilliseconds: pulumi.Output<number>;

  constructor(name: string, inputs: Inputs<ExistingInputs>, opts: pulumi.CustomResourceOptions) {
    const outputs = {
      endpoints: undefined,
      engine: undefined,
      found: undefined,
      given: undefined,
      issues: undefined,
      members: undefined,
      nodeTimeoutMilliseconds: undefined,
      plan: undefined,
      shards: undefined,
      unfinished: undefined,
      verifiedAt: undefined,
    };
    super(
      frozenProvider("pulumi-redis-cluster/runner", "ExistingFormation"),
      name,
      { ...outputs, ...inputs },
      opts,
      "redis-cluster",
      "ExistingFormation",
    );
  }
}
