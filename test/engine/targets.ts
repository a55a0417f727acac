import { isProviderType, stackType, typeOf } from "./resource";

/** `--target` and `--exclude`: URNs, with `*` for a part of a name and `**` for anything. */
export class Targets {
  readonly #targets: RegExp[];
  readonly #excludes: RegExp[];
  readonly literals: string[];

  constructor(targets: readonly string[], excludes: readonly string[]) {
    if (targets.length > 0 && excludes.length > 0) throw new Error("--target and --exclude cannot be used together");
    this.#targets = targets.map(pattern);
    this.#excludes = excludes.map(pattern);
    this.literals = [...targets, ...excludes].filter((urn) => !urn.includes("*"));
  }

  get targeted(): boolean {
    return this.#targets.length > 0;
  }

  get constrained(): boolean {
    return this.targeted || this.#excludes.length > 0;
  }

  names(urn: string): boolean {
    return this.#targets.some((target) => target.test(urn));
  }

  excludes(urn: string): boolean {
    return this.#excludes.some((exclude) => exclude.test(urn));
  }

  /** Providers and the stack itself are always part of an update. */
  includes(urn: string): boolean {
    if (!this.constrained || isProviderType(typeOf(urn)) || typeOf(urn) === stackType) return true;
    return this.includesExactly(urn);
  }

  includesExactly(urn: string): boolean {
    return this.targeted ? this.names(urn) : !this.excludes(urn);
  }
}

function pattern(text: string): RegExp {
  const parts = text.split(/(\*\*|\*)/).map((part) => {
    if (part === "**") return ".*";
    if (part === "*") return "[^:$]*";
    return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`);
}
