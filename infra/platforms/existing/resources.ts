import type * as pulumi from "@pulumi/pulumi";
import type { InventoryShard } from "../../../components/cluster/inventory";
import type { Inputs } from "../../../components/cluster/resources";
import { FrozenResource } from "../../../components/cluster/shim";
import type { ExistingInputs, ExistingOutputs } from "../../../components/formation/runner/existing";

/** Formation over given hosts: recognises what they are, keeps it that way, and carries out what is declared. */
export class ExistingFormation extends FrozenResource {
  declare readonly shards: pulumi.Output<InventoryShard[]>;
  declare readonly verifiedAt: pulumi.Output<string>;
  declare readonly engine: pulumi.Output<ExistingOutputs["engine"]>;
  declare readonly plan: pulumi.Output<ExistingOutputs["plan"]>;
  declare readonly nodeTimeoutMilliseconds: pulumi.Output<number>;

  constructor(name: string, inputs: Inputs<ExistingInputs>, opts: pulumi.CustomResourceOptions) {
    const outputs = [
      "endpoints",
      "engine",
      "found",
      "given",
      "issues",
      "members",
      "nodeTimeoutMilliseconds",
      "plan",
      "shards",
      "unfinished",
      "verifiedAt",
    ];
    super({ entry: "pulumi-redis-cluster/runner", kind: "ExistingFormation" }, name, { inputs, outputs }, opts);
  }
}
