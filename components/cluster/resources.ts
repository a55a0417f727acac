import type * as pulumi from "@pulumi/pulumi";
import type { CertificatesInForce } from "../formation/certificates";
import type { FormationInputs } from "../formation/runner/formation";
import type { GuardInputs } from "../formation/runner/guard";
import type { PasswordsInputs, PasswordTable } from "../formation/runner/passwords";
import type { CertificatesInputs } from "../security/certificates";
import type { InventoryShard } from "./inventory";
import { FrozenResource } from "./shim";

const RUNNER = "pulumi-redis-cluster/runner";

/** Arguments as a program gives them: each may be an output. */
export type Inputs<T> = { [K in keyof T]: pulumi.Input<T[K]> };

/** The post-deploy step: forms the cluster over existing nodes, verifies it, and mends what differs on every `up`. */
export class ClusterFormation extends FrozenResource {
  declare readonly shards: pulumi.Output<InventoryShard[]>;
  declare readonly verifiedAt: pulumi.Output<string>;
  declare readonly certificatesInForce: pulumi.Output<CertificatesInForce | undefined>;

  constructor(name: string, inputs: Inputs<FormationInputs>, opts: pulumi.CustomResourceOptions) {
    const outputs = ["members", "shards", "issues", "unfinished", "verifiedAt"];
    if (inputs.users !== undefined) outputs.push("passwordsInForce");
    if (inputs.tls !== undefined) outputs.push("certificatesInForce");
    super({ entry: RUNNER, kind: "ClusterFormation" }, name, { inputs, outputs }, opts);
  }
}

/** Makes and keeps the passwords of a cluster: see `passwordsRunner`. */
export class ClusterPasswords extends FrozenResource {
  declare readonly table: pulumi.Output<PasswordTable>;

  constructor(name: string, inputs: Inputs<PasswordsInputs>, opts: pulumi.CustomResourceOptions) {
    super({ entry: RUNNER, kind: "ClusterPasswords" }, name, { inputs, outputs: [] }, opts);
  }
}

/** Makes and keeps the certificates of a cluster: see `certificatesRunner`. */
export class ClusterCertificates extends FrozenResource {
  declare readonly table: pulumi.Output<CertificatesInputs["table"]>;

  constructor(name: string, inputs: Inputs<CertificatesInputs>, opts: pulumi.CustomResourceOptions) {
    super({ entry: RUNNER, kind: "ClusterCertificates" }, name, { inputs, outputs: [] }, opts);
  }
}

/** Stands before one machine: see `guardRunner`. */
export class NodeGuard extends FrozenResource {
  constructor(name: string, inputs: Inputs<GuardInputs>, opts: pulumi.CustomResourceOptions) {
    const guarded = { ...opts, deleteBeforeReplace: true };
    super({ entry: RUNNER, kind: "NodeGuard" }, name, { inputs, outputs: [] }, guarded);
  }
}
