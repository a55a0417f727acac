/** The command line: words, and flags with or without a value. */
export interface Arguments {
  readonly words: string[];
  readonly flags: ReadonlySet<string>;
  readonly values: ReadonlyMap<string, string[]>;
}

const shorthands: Record<string, string> = {
  "-s": "--stack",
  "-y": "--yes",
  "-f": "--skip-preview",
  "-r": "--refresh",
  "-t": "--target",
  "-C": "--cwd",
  "-j": "--json",
};
const withValue = new Set([
  "--stack",
  "--target",
  "--exclude",
  "--event-log",
  "--cwd",
  "--file",
  "--color",
  "--parallel",
]);
const plain = new Set([
  ...["--yes", "--skip-preview", "--refresh", "--continue-on-error", "--json", "--diff", "--non-interactive"],
  ...[
    "--clear-pending-creates",
    "--target-dependents",
    "--secret",
    "--plaintext",
    "--show-secrets",
    "--force",
    "--create",
    "--preview-only",
    "--help",
  ],
]);

export class UsageError extends Error {}

export function parseArguments(argv: readonly string[]): Arguments {
  const words: string[] = [];
  const flags = new Set<string>();
  const values = new Map<string, string[]>();
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      words.push(...rest);
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      words.push(word);
      continue;
    }
    const [head = "", ...tail] = word.split("=");
    const name = shorthands[head] ?? head;
    const given = tail.length > 0 ? tail.join("=") : undefined;
    if (withValue.has(name)) {
      const value = given ?? rest.shift();
      if (value === undefined) throw new UsageError(`flag needs an argument: ${head}`);
      values.set(name, [...(values.get(name) ?? []), value]);
    } else if (plain.has(name)) {
      if (given !== "false") flags.add(name);
    } else {
      throw new UsageError(
        `unknown flag: ${head} (the hermetic engine knows ${[...plain, ...withValue].sort().join(" ")})`,
      );
    }
  }
  return { words, flags, values };
}
