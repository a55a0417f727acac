import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import type { ClusterInventory } from "../../cluster/inventory";
import { BUS_PORT_OFFSET, type NodeEndpoint } from "../../config/types";
import type { Access } from "../../formation/wire";
import { readInventories } from "../readInventory";
import { accessOfCredentials } from "./access";
import type { Console } from "./console";
import { UsageError } from "./verb";

/** How a verb is told which cluster it is about; the same for every verb. */
export const TARGET_OPTIONS = {
  stack: { type: "string", short: "s" },
  inventory: { type: "string", short: "i" },
  node: { type: "string", short: "n", multiple: true },
} as const;

export const TARGET_HELP = [
  "Which cluster, the first that is given or found:",
  "  -i, --inventory FILE   what `pulumi stack output inventory --json` printed; - reads it from standard input",
  "  -n, --node HOST:PORT   ask this node for the others (several may be given); zones are unknown then",
  "  -s, --stack NAME       the output `inventory` of this stack, by `pulumi` where Pulumi.yaml is here, else",
  "                         from .local/NAME.inventory.json (default: local)",
].join("\n");

export interface TargetOptions {
  readonly stack?: string | undefined;
  readonly inventory?: string | undefined;
  readonly node?: string[] | undefined;
  /** Given otherwise, those of the stack are not asked for. */
  readonly credentials?: string | undefined;
}

/** Known from an inventory, or only nodes to begin at. */
export type Target =
  | { readonly inventories: readonly ClusterInventory[]; readonly access?: Access }
  | { readonly seeds: readonly NodeEndpoint[] };

const DEFAULT_STACK = "local";
const PULUMI_MILLISECONDS = 30_000;

/** @throws Error that says where was looked and what to give */
export async function findTarget(options: TargetOptions, console: Console): Promise<Target> {
  const given = (["inventory", "node", "stack"] as const).filter((name) => options[name] !== undefined);
  if (given.length > 1) throw new UsageError(`--${given.join(" and --")} exclude each other`);
  if (options.inventory === "-") return { inventories: readInventories(await text(process.stdin), "standard input") };
  if (options.inventory !== undefined)
    return { inventories: await readFileOf(resolve(console.cwd, options.inventory), options.inventory) };
  if (options.node !== undefined) return { seeds: options.node.map(parseNode) };

  const stack = options.stack ?? DEFAULT_STACK;
  const pulumi = await stackOutput(stack, "inventory", console);
  if ("output" in pulumi) {
    const inventories = readInventories(pulumi.output, `output \`inventory\` of stack ${stack}`);
    return { inventories, ...(options.credentials === undefined ? await accessOfStack(stack, console) : {}) };
  }
  const file = join(".local", `${stack}.inventory.json`);
  const path = join(console.cwd, file);
  if (existsSync(path)) return { inventories: await readFileOf(path, file) };
  throw new Error(
    `no inventory was found for stack ${stack}: ${pulumi.reason}, and there is no ${file} here; run \`up\` first, or give --inventory or --node`,
  );
}

/** A stack may export no credentials, or those of an open cluster: then there is nothing to log in with. */
async function accessOfStack(stack: string, console: Console): Promise<{ access?: Access }> {
  const answer = await stackOutput(stack, "credentials", console);
  if (!("output" in answer)) return {};
  const access = accessOfCredentials(answer.output, `output \`credentials\` of stack ${stack}`);
  return Object.keys(access).length > 0 ? { access } : {};
}

async function readFileOf(path: string, shown: string): Promise<ClusterInventory[]> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (error) {
    throw new Error(
      `cannot read ${shown}: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such file" : (error as Error).message}`,
    );
  }
  return readInventories(content, shown);
}

/** `host:port`, `[::1]:port`. */
export function parseNode(node: string): NodeEndpoint {
  const match = /^\[?([^\]]+?)\]?:(\d+)$/.exec(node);
  const port = Number(match?.[2]);
  if (!match?.[1] || port < 1 || port > 65535)
    throw new UsageError(`--node: ${JSON.stringify(node)} is not host:port, such as 127.0.1.1:7000`);
  return { address: match[1], port, busPort: port + BUS_PORT_OFFSET };
}

type StackOutput = { readonly output: string } | { readonly reason: string };

/** A stack that another engine made is not known to the CLI; that is no error, the file is asked next. */
function stackOutput(stack: string, name: "inventory" | "credentials", { env, cwd }: Console): Promise<StackOutput> {
  const secrets = name === "credentials" ? ["--show-secrets"] : [];
  if (!existsSync(join(cwd, "Pulumi.yaml"))) return Promise.resolve({ reason: "there is no Pulumi.yaml here" });
  const found = (env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, "pulumi")));
  if (!found) return Promise.resolve({ reason: "pulumi is not on PATH" });
  return new Promise((done) => {
    execFile(
      "pulumi",
      ["stack", "output", name, "--json", ...secrets, "--non-interactive", "--stack", stack],
      { cwd, env, timeout: PULUMI_MILLISECONDS },
      (error, stdout, stderr) => {
        if (!error) done({ output: stdout });
        else done({ reason: `pulumi says ${JSON.stringify(stderr.trim().split("\n").at(-1) || error.message)}` });
      },
    );
  });
}
