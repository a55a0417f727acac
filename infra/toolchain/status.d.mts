/** The arguments of `redis-cluster status` for those of `npm run status`. */
export function statusArguments(
  given: readonly string[],
  find?: (given: readonly string[]) => { readonly file: string; readonly rest: readonly string[] },
): string[];

/** The credentials of the stack that `npm run status` is about, as JSON. */
export function statusCredentials(
  given: readonly string[],
  find?: (given: readonly string[]) => Promise<string | undefined>,
): Promise<string | undefined>;
