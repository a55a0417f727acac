/** The arguments of `redis-cluster status` for those of `npm run status`. */
export function statusArguments(
  given: readonly string[],
  find?: (given: readonly string[]) => { readonly file: string; readonly rest: readonly string[] },
): string[];
