import * as fs from "node:fs";
import { inUse } from "./ports";

const KNOWN: readonly { pattern: RegExp; explain: (match: RegExpExecArray, context: FailureContext) => string }[] = [
  {
    pattern: /No space left on device|Disk quota exceeded/i,
    explain: (_, { folder }) =>
      `no space left on the disk that holds ${folder}; free some, or set \`directory\` to a folder on another disk`,
  },
  {
    pattern:
      /FATAL CONFIG FILE ERROR[^\n]*\n(?:Reading the configuration file, at line (\d+)\n)?>>> '([^\n]*)'\n([^\n]*)/,
    explain: (match, { server }) =>
      `the server does not take this line of its configuration: "${match[2]}" (${match[3]?.trim()}); correct it in the cluster's arguments, or use a version of ${server} that knows it`,
  },
  {
    // Redis 8 and later, which asks its modules too.
    pattern: /Unresolved Configuration\(s\) Detected:[^\n]*\n[^\n]*>>> '([^\n]*)'/,
    explain: (match, { server }) =>
      `the server does not take this line of its configuration: "${match[1]}" (neither it nor a module knows it); correct it in the cluster's arguments, or use a version of ${server} that knows it`,
  },
  {
    pattern: /already used by a different (?:Redis|Valkey) Cluster node/i,
    explain: (_, { folder }) => `another server already runs on the data in ${folder}`,
  },
  {
    pattern: /Can't chdir to '([^']*)': ([^\n]*)|Can't open[^\n]*?: (Permission denied)|Permission denied/i,
    explain: (_, { folder }) =>
      `the server may not use the folder ${folder}; check who owns it and its parents' permissions`,
  },
  {
    pattern: /Wrong signature trying to load DB|Bad file format reading the append only file|Unrecoverable error/i,
    explain: (_, { folder }) =>
      `the data in ${folder} cannot be loaded; repair a copy with redis-check-aof or redis-check-rdb, or move them away to join the node anew from its shard`,
  },
];

const TAKEN = /Could not create server TCP listening socket \S*:(\d+): [^\n]*in use/i;

/** Somebody else listens where a node should. */
export class PortTaken extends Error {
  override name = "PortTaken";
  readonly #node: string;
  readonly #problem: string;

  constructor(
    node: string,
    problem: string,
    remedy = "it may hold data and be known to others by its ports, so it keeps them: free this one, then run `up` again",
  ) {
    super(`${node} did not start: ${problem}; ${remedy}`);
    this.#node = node;
    this.#problem = problem;
  }

  /** The same where something else is to be done. */
  withRemedy(remedy: string): PortTaken {
    return new PortTaken(this.#node, this.#problem, remedy);
  }
}

export interface FailureContext {
  readonly node: string;
  readonly folder: string;
  readonly address: string;
  readonly server: string;
  readonly log: string;
}

/** Makes an error that a reader can act on of what the server wrote last. */
export function startFailure(context: FailureContext, written: string, ending: string): Error {
  const taken = TAKEN.exec(written);
  if (taken) return new PortTaken(context.node, inUse("port", context.address, Number(taken[1])));
  for (const { pattern, explain } of KNOWN) {
    const match = pattern.exec(written);
    if (match) return new Error(`${context.node} did not start: ${explain(match, context)}. Log: ${context.log}`);
  }
  const last = written.trim().split("\n").slice(-5).join("\n");
  return new Error(
    `${context.node} did not start: ${context.server} ${ending}. Log: ${context.log}${last ? `\n${last}` : " (empty)"}`,
  );
}

/** The same for errors of the system, as they come from files and from starting a program. */
export function systemFailure(context: FailureContext, error: unknown): Error {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return startFailure(context, "No space left on device", "");
  if (syscall?.startsWith("spawn") && code === "ENOENT") {
    return new Error(
      `${context.node} did not start: there is no server at ${context.server}; install redis-server or valkey-server 7.0 or newer, or set \`serverBinary\` or REDIS_SERVER to one`,
    );
  }
  if (syscall?.startsWith("spawn") && code === "EACCES") {
    return new Error(`${context.node} did not start: ${context.server} is not a program that this user may run`);
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new Error(`${context.node} did not start: ${message}; this user must be able to write in ${context.folder}`);
  }
  return new Error(`${context.node} did not start: ${message}`);
}

/** What was written to a log since it had a given length, at most its last 16 kB. */
export function logSince(file: string, offset: number): string {
  try {
    const length = fs.statSync(file).size;
    const start = Math.max(offset, length - 16_384);
    const descriptor = fs.openSync(file, "r");
    try {
      const buffer = Buffer.alloc(Math.max(0, length - start));
      fs.readSync(descriptor, buffer, 0, buffer.length, start);
      return buffer.toString("utf8");
    } finally {
      fs.closeSync(descriptor);
    }
  } catch {
    return "";
  }
}
