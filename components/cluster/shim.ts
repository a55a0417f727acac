import * as pulumi from "@pulumi/pulumi";
import { shimText } from "./shimText";

/**
 * A dynamic resource whose provider is the frozen text of `shimText`: what `pulumi.dynamic.Resource` is, without serializing code.
 * Its type is `pulumi-nodejs:dynamic/redis-cluster:<kind>`.
 */
export abstract class FrozenResource extends pulumi.CustomResource {
  /** @param outputs names of outputs that are no inputs */
  protected constructor(
    { entry, kind }: { readonly entry: string; readonly kind: string },
    name: string,
    { inputs, outputs }: { readonly inputs: object; readonly outputs: readonly string[] },
    opts: pulumi.CustomResourceOptions,
  ) {
    const unset = Object.fromEntries(outputs.map((output) => [output, undefined]));
    const props = { ...unset, ...inputs, __provider: shimText(entry, kind) };
    super(`pulumi-nodejs:dynamic/redis-cluster:${kind}`, name, props, opts);
  }
}

/** What a runner provides for each kind: Pulumi's dynamic provider interface, all of it. */
export interface ResourceRunner<Inputs, Outputs> {
  /** `olds` are the inputs of the last run, empty for a new resource. Unknown values are sentinel strings. */
  check(olds: Partial<Inputs>, news: Inputs): Promise<pulumi.dynamic.CheckResult>;
  diff(id: string, olds: Outputs, news: Inputs): Promise<pulumi.dynamic.DiffResult>;
  create(inputs: Inputs): Promise<{ id: string; outs: Outputs }>;
  read(id: string, props: Outputs): Promise<{ id: string; props: Outputs }>;
  update(id: string, olds: Outputs, news: Inputs): Promise<{ outs: Outputs }>;
  delete(id: string, props: Outputs): Promise<void>;
}
