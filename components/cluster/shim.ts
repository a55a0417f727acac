import * as pulumi from "@pulumi/pulumi";
import { findsRunner, runnerMissing } from "./runnerPlace";
import { shimText } from "./shimText";

/** Entries whose place has been looked at. */
const looked = new Set<string>();

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
    if (looked.has(entry)) return;
    looked.add(entry);
    // No error: the provider may work in another folder than a program that the Automation API runs. What it says itself names no remedy. Not of this
    // resource, since it is told when that is registered, which fails.
    if (!findsRunner(entry, process.cwd())) void pulumi.log.warn(runnerMissing(entry, process.cwd()));
  }
}

/** The same where the program declares less than the inputs are: `check` completes them. */
export type CompletingRunner<Declaration, Inputs, Outputs> = Omit<ResourceRunner<Inputs, Outputs>, "check"> & {
  check(
    olds: Partial<Inputs>,
    news: Declaration,
  ): Promise<{ inputs: Inputs; failures: { property: string; reason: string }[] }>;
};

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
