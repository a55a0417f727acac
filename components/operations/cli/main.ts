#!/usr/bin/env node
import { type Console, EXIT } from "./console";
import { status } from "./status";
import { UsageError, type Verb } from "./verb";

/** Every verb there is, in the order of the help. */
const VERBS: readonly Verb[] = [status];

async function main(argv: readonly string[], console: Console): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    console.out(help());
    return name === undefined ? EXIT.unknown : EXIT.healthy;
  }
  const verb = VERBS.find((v) => v.name === name);
  if (!verb) {
    console.error(
      `redis-cluster: ${JSON.stringify(name)} is no verb; known: ${VERBS.map((v) => v.name).join(", ")}; see redis-cluster --help`,
    );
    return EXIT.unknown;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    console.out(verb.help);
    return EXIT.healthy;
  }
  try {
    return await verb.run(rest, console);
  } catch (error) {
    const hint = error instanceof UsageError ? `; see redis-cluster ${verb.name} --help` : "";
    console.error(`redis-cluster ${verb.name}: ${error instanceof Error ? error.message : String(error)}${hint}`);
    return EXIT.unknown;
  }
}

function help(): string {
  return [
    "redis-cluster: look at a Redis or Valkey cluster, and operate it",
    "",
    ...VERBS.map((v) => `  redis-cluster ${v.name.padEnd(10)} ${v.summary}`),
    "",
    "redis-cluster <verb> --help tells the options. Exit code: 0 healthy, 1 degraded, 2 could not tell.",
  ].join("\n");
}

if (require.main === module) {
  const { stdout, env } = process;
  void main(process.argv.slice(2), {
    out: (text) => stdout.write(`${text}\n`),
    error: (text) => process.stderr.write(`${text}\n`),
    isTerminal: stdout.isTTY === true,
    width: stdout.columns ?? 120,
    env,
    cwd: process.cwd(),
  }).then((code) => {
    // Not process.exit: what was written to a pipe may still be on its way.
    process.exitCode = code;
  });
}

export { main };
