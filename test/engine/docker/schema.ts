import type * as pulumi from "@pulumi/pulumi";

/**
 * What the provider's own schema says of one property. The words are Terraform's, since the rules are: `computed` means that the
 * provider fills it in where the program is silent, and that such a value is no difference; `forceNew` that a change replaces the resource.
 */
interface Common {
  readonly required?: true | undefined;
  readonly computed?: true;
  readonly forceNew?: true;
  /** The SDK takes it, this double does not carry it out and says so. */
  readonly refused?: true;
}

export interface TextRule extends Common {
  readonly kind: "string";
  readonly default?: string;
  /** Made from the resource's name where the program gives none. */
  readonly autonamed?: true;
  readonly must?: "duration" | "base64" | "absolutePath" | RegExp;
  /** `""` leaves what is there. */
  readonly emptyKeeps?: true;
}

export interface NumberRule extends Common {
  readonly kind: "number";
  readonly default?: number;
  readonly min?: number;
}

export interface BoolRule extends Common {
  readonly kind: "boolean";
  readonly default?: boolean;
}

/** A set is compared without regard to order. */
export interface ListRule<Element = Rule> extends Common {
  readonly kind: "list" | "set";
  readonly of: Element;
}

/** Of strings. */
export interface MapRule extends Common {
  readonly kind: "map";
}

export interface BlockRule<Of = Fields> extends Common {
  readonly kind: "block";
  /** The one element of a set, in Terraform's eyes. */
  readonly inSet?: true;
  readonly of: Of;
}

export type Rule = TextRule | NumberRule | BoolRule | ListRule | MapRule | BlockRule;
export type Fields = { readonly [name: string]: Rule };

type Plain<T> = Exclude<T, Promise<unknown> | pulumi.OutputInstance<unknown> | undefined>;
type RuleOf<T> = [T] extends [string]
  ? TextRule
  : [T] extends [number]
    ? NumberRule
    : [T] extends [boolean]
      ? BoolRule
      : [T] extends [readonly (infer Element)[]]
        ? ListRule<RuleOf<Plain<Element>>>
        : string extends keyof T
          ? MapRule
          : BlockRule<RulesOf<T>>;

/** The rules that go with arguments of the SDK: one for each, of its kind, required where it is. What the SDK gains breaks the build. */
export type RulesOf<Args> = {
  readonly [Key in keyof Required<Args>]: RuleOf<Plain<Args[Key]>> & {
    readonly required?: Record<never, never> extends Pick<Args, Key> ? undefined : true;
  };
};

/** Where rules come from. */
export interface Source {
  readonly provider: string;
  readonly version: string;
  readonly commit: string;
  readonly files: readonly string[];
  readonly notes?: readonly string[];
}

export interface ResourceRules {
  readonly fields: Fields;
  /** What only the provider knows, and how it begins: unknown in the preview of a creation. */
  readonly outputs: readonly string[];
  /** Replaced by deleting first, whatever its name. */
  readonly deleteBeforeReplace: boolean;
  readonly schemaVersion?: number;
}
