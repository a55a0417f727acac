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
  readonly values?: readonly string[];
  readonly min?: string;
  readonly max?: string;
}

export function tabulate(answers: Readonly<Record<string, Readonly<Record<string, ProbedDirective>>>>): DirectivesData {
  const servers = Object.keys(answers);
  const names = [...new Set(Object.values(answers).flatMap((answer) => Object.keys(answer)))].sort();
  const directives: Record<string, DataRow> = {};
  for (const name of names) {
    const rows = servers.map((server) => answers[server]?.[name]);
    const present = rows.filter((row) => row !== undefined);
    // Where servers differ the loosest holds: a value that one of them takes is no mistake worth stopping for.
    const kinds = [...new Set(present.map((row) => row.kind))];
    const values = [...new Set(present.flatMap((row) => row.values ?? []))].sort();
    const ranged = present.every((row) => row.min !== undefined && row.max !== undefined);
    const pick = (key: "min" | "max", sign: 1 | -1) =>
      present.map((row) => row[key] as string).reduce((a, b) => ((BigInt(b) - BigInt(a)) * BigInt(sign) > 0n ? b : a));
    directives[name] = {
      kind: kinds.length === 1 ? (kinds[0] as string) : "other",
      change: rows.map((row) => row?.change ?? null),
      ...(values.length > 0 ? { values } : {}),
      ...(ranged && kinds.length === 1 ? { min: pick("min", -1), max: pick("max", 1) } : {}),
    };
  }
  return { servers, directives };
}

/** One line a directive, so that a difference between versions is one line in a review. */
export function formatData(data: DirectivesData): string {
  const rows = Object.entries(data.directives).map(([name, row]) => `    ${JSON.stringify(name)}: ${spaced(row)}`);
  return `{\n  "servers": ${spaced(data.servers)},\n  "directives": {\n${rows.join(",\n")}\n  }\n}\n`;
}

function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(", ")}]`;
  if (value !== null && typeof value === "object") {
    return `{ ${Object.entries(value).map(([key, entry]) => `${JSON.stringify(key)}: ${spaced(entry)}`).join(", ")} }`;
  }
  return JSON.stringify(value);
}
