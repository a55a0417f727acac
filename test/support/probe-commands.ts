// Asks a real server which commands it has and which ACL categories each is in.
// components/config/commands.json is made of the answers (see test/cluster/config/commands.test.ts).
import { type ServerProgram, startServer } from "./servers";

/** Categories of each command and subcommand (`config|get`), sorted, in one text. */
export type ProbedCommands = Readonly<Record<string, string>>;

export interface CommandsData {
  /** Which server each position of a row is about. */
  readonly servers: readonly string[];
  /** Categories: one text where all servers agree, else one for each; null: this server does not have the command. */
  readonly commands: Readonly<Record<string, readonly (string | null)[]>>;
}

export async function probeCommands(server: ServerProgram): Promise<ProbedCommands> {
  const running = await startServer({ server, directives: [{ name: "cluster-enabled", value: "yes" }] });
  try {
    const found: Record<string, string> = {};
    const add = (rows: unknown[]): void => {
      for (const row of rows as [
        string,
        number,
        string[],
        number,
        number,
        number,
        string[],
        unknown,
        unknown,
        unknown[],
      ][]) {
        found[row[0].toLowerCase()] = [...row[6]]
          .map((category) => category.replace("@", ""))
          .sort()
          .join(" ");
        add(row[9] ?? []);
      }
    };
    add((await running.connect().call("COMMAND")) as unknown[]);
    return found;
  } finally {
    await running.stop();
  }
}

export function tabulateCommands(answers: Readonly<Record<string, ProbedCommands>>): CommandsData {
  const names = [...new Set(Object.values(answers).flatMap((answer) => Object.keys(answer)))].sort();
  const rowOf = (name: string) => {
    const row = Object.values(answers).map((answer) => answer[name] ?? null);
    return new Set(row).size === 1 ? row.slice(0, 1) : row;
  };
  return {
    servers: Object.keys(answers),
    commands: Object.fromEntries(names.map((name) => [name, rowOf(name)])),
  };
}

/** One line a command, so that a difference between versions is one line in a review. */
export function formatCommands({ servers, commands }: CommandsData): string {
  const list = (row: readonly (string | null)[]) => `[${row.map((entry) => JSON.stringify(entry)).join(", ")}]`;
  const rows = Object.entries(commands).map(([name, row]) => `    ${JSON.stringify(name)}: ${list(row)}`);
  return `{\n  "servers": ${list(servers)},\n  "commands": {\n${rows.join(",\n")}\n  }\n}\n`;
}
