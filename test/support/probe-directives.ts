// Asks a real server which directives it has: what kind of value each takes and whether it can be set while it runs.
// components/config/directives.json is made of the answers (see test/cluster/config/directives.test.ts).
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ServerProgram, startServer } from "./servers";

export interface ProbedDirective {
  /** `live`: CONFIG SET takes it; `boot`: only the file, read at start; `protected`: CONFIG SET is refused by default. */
  readonly change: "live" | "boot" | "protected";
  readonly kind: string;
  readonly values?: readonly string[];
  readonly min?: string;
  readonly max?: string;
}

export async function probeDirectives(server: ServerProgram): Promise<Record<string, ProbedDirective>> {
  const dir = mkdtempSync(join(tmpdir(), "prc-probe-"));
  writeFileSync(join(dir, "users.acl"), "");
  const running = await startServer({
    server,
    dir,
    directives: [
      { name: "cluster-enabled", value: "yes" },
      { name: "aclfile", value: join(dir, "users.acl") },
    ],
  });
  try {
    const client = running.connect();
    const current = new Map<string, string>();
    const answer = (await client.call("CONFIG", "GET", "*")) as string[];
    for (let i = 0; i + 1 < answer.length; i += 2) current.set(answer[i] as string, answer[i + 1] as string);
    const result: Record<string, ProbedDirective> = {};
    for (const [name, value] of [...current].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const set = async (to: string) => {
        try {
          await client.call("CONFIG", "SET", name, to);
          return "OK";
        } catch (error) {
          return error instanceof Error ? error.message : String(error);
        }
      };
      const reply = await set(value);
      const change = /immutable/.test(reply) ? "boot" : /protected/.test(reply) ? "protected" : "live";
      const ask = async (to: string) => {
        if (change !== "live") return askFile(server, dir, name, to);
        const said = await set(to);
        if (said === "OK") await set(value);
        return said;
      };
      result[name] = { change, ...(await kindOf(ask)) };
    }
    return result;
  } finally {
    await running.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What a server says of a value in its file: it refuses and exits before it listens, or would start. */
function askFile(server: ServerProgram, dir: string, name: string, value: string): string {
  const file = join(dir, "probe.conf");
  // An unknown directive at the end, or a server that likes the value would start.
  writeFileSync(file, `port 0\n${name} "${value}"\nprobe-ends-here yes\n`);
  const text = spawnSync(server.path, [file], { cwd: dir, encoding: "utf8", timeout: 10_000 });
  const said = `${text.stdout}${text.stderr}`;
  return /probe-ends-here/.test(said) && !/>>> '(?!probe-ends-here)/.test(said) ? "OK" : said;
}

async function kindOf(ask: (value: string) => Promise<string>): Promise<Omit<ProbedDirective, "change">> {
  const said = await ask("@@");
  if (said === "OK") return { kind: "string" };
  if (/must be 'yes' or 'no'/.test(said)) return { kind: "yesno" };
  const words = /must be one of the following: ([^\n']+)/.exec(said)?.[1];
  if (words !== undefined)
    return {
      kind: "enum",
      values: words
        .split(",")
        .map((word) => word.trim())
        .filter(Boolean)
        .sort(),
    };
  if (/memory or percent value/.test(said)) return { kind: "memoryOrPercent" };
  const kind = /must be a memory value/.test(said)
    ? "memory"
    : /couldn't be parsed into an integer/.test(said)
      ? "integer"
      : /octal/.test(said)
        ? "octal"
        : "other";
  if (kind !== "integer" && kind !== "memory") return { kind };
  for (const value of ["-9000000000000000000", "-1", "9000000000000000000"]) {
    const range = /must be between (-?\d+) and (-?\d+)/.exec(await ask(value));
    if (range) return { kind, min: range[1] as string, max: range[2] as string };
  }
  return { kind };
}
