import type { Engine } from "../spec/spec";
import data from "./commands.json";
import { tableOf } from "./versions";

/** The commands of one engine and version, and what each is counted among. */
export interface CommandTable {
  /** The version it is about, as in messages: `redis 7.2`. */
  readonly label: string;
  /**
   * `asked`: a real server of this version said so. `derived`: of two neighbours, what either has. `newer`: no table for a version
   * this new yet; the newest one stands in, and what it does not know may exist.
   */
  readonly evidence: "asked" | "derived" | "newer";
  /** ACL categories, without `@`, by command or `command|subcommand`. */
  readonly categories: ReadonlyMap<string, ReadonlySet<string>>;
  /** Subcommands in full (`config|get`), by their command. */
  readonly subcommands: ReadonlyMap<string, readonly string[]>;
}

type Asked = "redis-7.0" | "redis-8.0" | "valkey-8.1" | "valkey-9.1";

const ROWS = data.commands as Readonly<Record<string, readonly (string | null)[]>>;

function asked(...servers: Asked[]): Map<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  for (const [name, row] of Object.entries(ROWS)) {
    for (const server of servers) {
      const categories = row.length === 1 ? row[0] : row[data.servers.indexOf(server)];
      if (categories) found.set(name, new Set(categories.split(" ")));
    }
  }
  return found;
}

/** In ascending order for each engine; a version takes the last table that is not newer than itself. Of several servers the later one holds. */
const VERSIONS: readonly { engine: Engine["name"]; version: readonly [number, number]; of: readonly Asked[] }[] = [
  { engine: "redis", version: [7, 0], of: ["redis-7.0"] },
  { engine: "redis", version: [7, 1], of: ["redis-7.0", "redis-8.0"] },
  { engine: "redis", version: [8, 0], of: ["redis-8.0"] },
  { engine: "valkey", version: [7, 2], of: ["redis-7.0", "valkey-8.1"] },
  { engine: "valkey", version: [8, 1], of: ["valkey-8.1"] },
  { engine: "valkey", version: [9, 0], of: ["valkey-8.1", "valkey-9.1"] },
  { engine: "valkey", version: [9, 1], of: ["valkey-9.1"] },
];

const tables = new Map<string, CommandTable>();

/** The commands of one engine and version. */
export function commandTable(engine: Engine): CommandTable {
  const { table: entry, version, newer } = tableOf(VERSIONS, engine, "commands");
  const label = `${engine.name} ${version}`;
  const known = tables.get(label);
  if (known) return known;
  const categories = asked(...entry.of);
  const subcommands = new Map<string, string[]>();
  for (const name of categories.keys()) {
    const [command = ""] = name.split("|");
    if (command !== name) subcommands.set(command, [...(subcommands.get(command) ?? []), name]);
  }
  const evidence = newer ? "newer" : entry.of.length > 1 ? "derived" : "asked";
  const table: CommandTable = { label, evidence, categories, subcommands };
  tables.set(label, table);
  return table;
}

/** All categories of a table, sorted. */
export function categoriesOf({ categories }: CommandTable): string[] {
  return [...new Set([...categories.values()].flatMap((set) => [...set]))].sort();
}
