import type { Problem } from "./spec";

/**
 * All problems as one text, for the error that stops a preview: errors first, one a line.
 *
 * @param name the component's name.
 */
export function formatProblems(name: string, problems: readonly Problem[]): string {
  const errors = problems.filter(({ severity }) => severity === "error");
  const warnings = problems.filter(({ severity }) => severity === "warning");
  const lines = (list: readonly Problem[], prefix: string): string[] =>
    list.map((problem) => `  ${prefix}${formatProblem(problem)}`);
  const [noun, listed] = errors.length > 0 ? ["problem", errors] : ["warning", warnings];
  const head = `${listed.length} ${noun}${listed.length === 1 ? "" : "s"} with "${name}":`;
  if (listed.length === 0) return "";
  return [head, ...lines(errors, ""), ...lines(warnings, errors.length > 0 ? "warning: " : "")].join("\n");
}

/** `masters: 2 is too few for a cluster; use 3 or more (odd)` */
export function formatProblem({ property, message }: Problem): string {
  return `${property}: ${message}`;
}
