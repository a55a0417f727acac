import type { Properties } from "./values";

/** A resource in the state, in the field names of Pulumi's deployment format version 3. */
export interface State {
  urn: string;
  custom: boolean;
  delete?: boolean;
  id?: string;
  type: string;
  inputs: Properties;
  outputs?: Properties;
  parent?: string;
  protect?: boolean;
  external?: boolean;
  dependencies: string[];
  initErrors?: string[];
  provider?: string;
  propertyDependencies: Record<string, string[]>;
  pendingReplacement?: boolean;
  additionalSecretOutputs?: string[];
  aliases?: string[];
  customTimeouts?: Record<string, number>;
  retainOnDelete?: boolean;
  deletedWith?: string;
  created?: string;
  modified?: string;
  ignoreChanges?: string[];
  replaceOnChanges?: string[];
}

/** What the program asks for when it registers a resource. */
export interface Goal {
  type: string;
  name: string;
  custom: boolean;
  properties: Properties;
  parent: string;
  protect: boolean;
  dependencies: string[];
  propertyDependencies: Record<string, string[]>;
  provider: string;
  deleteBeforeReplace?: boolean;
  ignoreChanges: string[];
  replaceOnChanges: string[];
  additionalSecretOutputs: string[];
  retainOnDelete: boolean;
  deletedWith: string;
  /** Full URNs: the SDK computes them, those inherited from aliased parents included. */
  aliases: string[];
}

export const stackType = "pulumi:pulumi:Stack";

export function isProviderType(type: string): boolean {
  return type.startsWith("pulumi:providers:");
}

/** `docker:index/network:Network` and `pulumi:providers:docker` are both of package docker. */
export function packageOf(type: string): string {
  return (isProviderType(type) ? type.split(":")[2] : type.split(":")[0]) ?? "";
}

/** The default provider is the engine's own bookkeeping: it is in the state, but people are not told of it. */
export function isDefaultProvider(urn: string): boolean {
  return isProviderType(typeOf(urn)) && nameOf(urn).startsWith("default");
}

export function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}

/** The resource's own type, without those of its parents. */
export function typeOf(urn: string): string {
  return qualifiedTypeOf(urn).split("$").pop() ?? "";
}

export function qualifiedTypeOf(urn: string): string {
  return urn.split("::")[2] ?? "";
}

export function makeUrn(stack: string, project: string, parent: string, type: string, name: string): string {
  const parentType = parent && typeOf(parent) !== stackType ? `${qualifiedTypeOf(parent)}$` : "";
  return `urn:pulumi:${stack}::${project}::${parentType}${type}::${name}`;
}

/** A provider reference is a URN and an ID. */
export function providerUrn(reference: string): string {
  return reference.slice(0, reference.lastIndexOf("::"));
}

/** Everything but its parent that a resource cannot be without. */
export function dependenciesOf(state: State): string[] {
  return [
    ...state.dependencies,
    ...Object.values(state.propertyDependencies).flat(),
    ...(state.deletedWith ? [state.deletedWith] : []),
    ...(state.provider ? [providerUrn(state.provider)] : []),
  ];
}
