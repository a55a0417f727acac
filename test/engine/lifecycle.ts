import * as fs from "node:fs";
import * as path from "node:path";
import {
  type Command,
  createWorkspace,
  type EngineName,
  type RunOptions,
  type RunResult,
  type StartedRun,
  type Workspace,
} from "./workspace";

/**
 * A program for tests of single behaviours: SHAPE names what it registers, CALLS the file that its providers write to.
 * GONE and KEEP name resources that `read` does not find and that `delete` refuses.
 */
const program = `
const pulumi = require("@pulumi/pulumi");
const log = () => {};
const thing = {
  async check(olds, news) { return { inputs: news }; },
  async diff(id, olds, news) {
    const keys = [...new Set([...Object.keys(olds), ...Object.keys(news)])].filter((key) => key in news || key === "running");
    const changed = keys.filter((key) => key !== "__provider" && JSON.stringify(olds[key]) !== JSON.stringify(news[key]));
    return { changes: changed.length > 0, replaces: changed.filter((key) => (news.replaceOn || []).includes(key)) };
  },
  async create(inputs) {
    const note = (text) => require("fs").appendFileSync(process.env.CALLS, text + "\\n");
    note("create " + inputs.label);
    if (inputs.say) console.log(inputs.say);
    if (inputs.sleep) await new Promise((resolve) => setTimeout(resolve, inputs.sleep));
    note("created " + inputs.label);
    return { id: inputs.label, outs: { ...inputs, address: "at-" + inputs.label } };
  },
  async read(id, props) {
    require("fs").appendFileSync(process.env.CALLS, "read " + props.label + "\\n");
    if ((process.env.GONE || "").split(",").includes(props.label)) return { id: "", props: {} };
    if ((process.env.DOWN || "").split(",").includes(props.label)) return { id, props: { ...props, running: "no" } };
    return { id, props };
  },
  async update(id, olds, news) {
    require("fs").appendFileSync(process.env.CALLS, "update " + news.label + " v" + news.version + "\\n");
    return { outs: { ...news, address: "at-" + news.label } };
  },
  async delete(id, props) {
    require("fs").appendFileSync(process.env.CALLS, "delete " + props.label + "\\n");
    if ((process.env.KEEP || "").split(",").includes(props.label)) throw new Error(props.label + " is still needed");
  },
};
const simple = { create: thing.create, delete: thing.delete, update: thing.update };
class Thing extends pulumi.dynamic.Resource {
  constructor(provider, name, args, opts) { super(provider, name, { address: undefined, ...args }, opts); }
}
const made = {};
for (const { name, type, links, after, simple: plain, secret, options = {}, deletedWith, parent, ...inputs } of JSON.parse(process.env.SHAPE || "[]")) {
  const opts = { ...options, dependsOn: (after || []).map((key) => made[key]) };
  if (deletedWith) opts.deletedWith = made[deletedWith];
  if (parent) opts.parent = made[parent];
  if (type === "component") { made[name] = new pulumi.ComponentResource("test:index:Part", name, {}, opts); continue; }
  const args = { label: name, version: "1", ...inputs, links: links ? links.map((key) => made[key].address) : undefined };
  if (secret) args.secret = pulumi.secret(secret);
  made[name] = new Thing(plain ? simple : thing, name, args, opts);
}
module.exports = { addresses: pulumi.all(Object.values(made).filter((resource) => resource.address).map((resource) => resource.address)), ...(process.env.EXTRA ? eval(process.env.EXTRA) : {}) };
`;

export interface Thing {
  readonly name: string;
  readonly [key: string]: unknown;
}

export interface Bench {
  readonly workspace: Workspace;
  run(command: Command, shape: readonly Thing[], options?: RunOptions): Promise<RunResult & { calls: string[] }>;
  start(command: Command, shape: readonly Thing[], options?: RunOptions): StartedRun;
  calls(): string[];
  /** The names of the resources in the state, providers and the stack left out. */
  names(): Promise<string[]>;
  dispose(): void;
}

export async function createBench(
  engine: EngineName,
  options: { yaml?: string; env?: Record<string, string> } = {},
): Promise<Bench> {
  const workspace = await createWorkspace({
    program: { source: program, name: "test", ...(options.yaml ? { yaml: options.yaml } : {}) },
    engine,
    env: options.env ?? {},
  });
  const file = path.join(workspace.directory, "..", "calls");
  const calls = () => (fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").filter(Boolean) : []);
  const start: Bench["start"] = (command, shape, { env, flags } = {}) => {
    fs.writeFileSync(file, "");
    return workspace.start(command, { flags: flags ?? [], env: { SHAPE: JSON.stringify(shape), CALLS: file, ...env } });
  };
  return {
    workspace,
    start,
    calls,
    run: async (command, shape, run) => {
      const result = await start(command, shape, run).result;
      return { ...result, calls: calls() };
    },
    names: async () => {
      const { deployment } = await workspace.exportStack();
      const custom = (deployment.resources ?? []).filter(({ type }) => !String(type).startsWith("pulumi:"));
      return custom.map(({ urn }) => String(urn).split("::").pop() ?? "");
    },
    dispose: workspace.dispose,
  };
}

export async function until(condition: () => boolean, milliseconds = 20_000): Promise<void> {
  for (const end = Date.now() + milliseconds; !condition(); ) {
    if (Date.now() > end) throw new Error(`did not become true within ${milliseconds} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function urnOf(name: string, type = "pulumi-nodejs:dynamic:Resource"): string {
  return `urn:pulumi:dev::test::${type}::${name}`;
}
