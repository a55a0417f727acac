// Puts the answers of several servers into the one table of components/config/directives.json.
import type { ProbedDirective } from "./probe-directives";

export interface DirectivesData {
  /** Which server each position of `change` is about. */
  readonly servers: readonly string[];
  readonly directives: Readonly<Record<string, DataRow>>;
}

export interface DataRow {
  readonly kind: string;
  /** null: this server does not know the directive. */
  readonly change: readonly (string | null)[];
  /** One for all servers where they agree, else one for each, in their order. */
  readonly values?: readonly string[] | readonly (readonly string[] | null)[];
  readonly min?: string | readonly (string | null)[];
  readonly max?: string | readonly (string | null)[];
}

export function tabulate(answers: Readonly<Record<string, Readonly<Record<string, ProbedDirective>>>>): DirectivesData {
  const servers = Object.keys(answers);
  const names = [...new Set(Object.values(answers).flatMap((answer) => Object.keys(answer)))].sort();
  const directives: Record<string, DataRow> = {};
  for (const name of names) {
    const rows = servers.map((server) => answers[server]?.[name]);
    const kinds = [...new Set(rows.filter((row) => row !== undefined).map((row) => row.kind))];
    directives[name] = {
      kind: kinds.length === 1 ? (kinds[0] as string) : "other",
      change: rows.map((row) => row?.change ?? null),
      ...agreed("values", rows),
      ...agreed("min", rows),
      ...agreed("max", rows),
    };
  }
  return { servers, directives };
}

function agreed(key: "values" | "min" | "max", rows: readonly (ProbedDirective | undefined)[]): Partial<DataRow> {
  const all = rows.filter((row) => row !== undefined).map((row) => row[key]);
  if (all.every((value) => value === undefined)) return {};
  const same = new Set(all.map((value) => JSON.stringify(value))).size === 1;
  return { [key]: same ? all[0] : rows.map((row) => row?.[key] ?? null) };
}

/** One line a directive, so that a difference between versions is one line in a review. */
export function formatData(data: DirectivesData): string {
  const rows = Object.entries(data.directives).map(([name, row]) => `    ${JSON.stringify(name)}: ${spaced(row)}`);
  return `{\n  "servers": ${spaced(data.servers)},\n  "directives": {\n${rows.join(",\n")}\n  }\n}\n`;
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{ ${Object.entries(value)
      .map(([key, entry]) => `${JSON.stringify(key)}: ${spaced(entry)}`)
      .join(", ")} }`;
  }
  return JSON.stringify(value);
}
