/**
 * Why a cluster cannot get another name, as by an alias in the program: nodes, their data and their machines are named after it, so all of them would be
 * replaced by blank ones. Undefined where the name stays, or nothing was made yet.
 */
export function renamed(was: string | undefined, is: string): string | undefined {
  if (was === undefined || was === is) return undefined;
  return `${was} is declared under the name ${is}, and a cluster keeps its name: its nodes and their data are named after it, so all of them would be replaced by blank ones. Name the component "${was}" again; the variable that holds it may have any name. Without the alias, ${is} is a new cluster, and ${was} is destroyed, its data as \`dataOnDestroy\` says`;
}
