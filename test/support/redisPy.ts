import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import type { ConnectionFacts } from "../../components/client";
import type { RedisPy } from "../../infra/toolchain/redisPy.mjs";
import { inCi } from "./servers";

/** The Python client. Where it cannot be had the answer is undefined, and a line on stderr says why; in CI it is an error. */
export async function redisPy(): Promise<RedisPy | undefined> {
  const toolchain = await import("../../infra/toolchain/redisPy.mjs");
  try {
    return await toolchain.ensureRedisPy({ log: (line) => process.stderr.write(`${line}\n`) });
  } catch (error) {
    if (!(error instanceof toolchain.NoRedisPy) || inCi()) throw error;
    process.stderr.write(`SKIPPED, tests with redis-py: ${error.message}\n`);
    return undefined;
  }
}

export interface PythonWork {
  readonly work: "use" | "reads" | "write" | "load";
  readonly tags: readonly string[];
  /** Addresses by host name, in place of DNS. */
  readonly hosts?: Readonly<Record<string, string>>;
}

/** One process of `test/cluster/client/redis-py/use.py` over the example's own `cluster.py`. */
export function python(client: RedisPy, facts: ConnectionFacts, { work, tags, hosts = {} }: PythonWork) {
  const path = [client.folder, resolve("examples/redis-py")].join(":");
  const child = spawn(client.python, [resolve("test/cluster/client/redis-py/use.py"), work], {
    env: {
      ...process.env,
      ...{ PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: "1", TAGS: JSON.stringify(tags), HOSTS: JSON.stringify(hosts) },
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let [errors, underWay] = ["", false];
  const lines: string[] = [];
  child.stderr.on("data", (data) => {
    errors += data;
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    underWay ||= line === "under way";
    lines.push(line);
  });
  // Facts hold secrets, which do not belong into arguments.
  child.stdin.write(`${JSON.stringify(facts)}\n`);
  if (work !== "load") child.stdin.end();
  const outcome = new Promise<Record<string, unknown>>((settled, failed) => {
    child.on("error", failed);
    child.on("close", () => {
      try {
        settled(JSON.parse(lines.at(-1) ?? ""));
      } catch {
        failed(new Error(`Python said nothing that is an outcome: ${errors}`));
      }
    });
  });
  return {
    outcome,
    underWay: () => underWay,
    end: () => {
      child.stdin.end();
      return outcome;
    },
    kill: () => child.kill("SIGKILL"),
  };
}
