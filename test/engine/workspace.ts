import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as crypto from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { Exported } from "./state";

const repository = findUp(__dirname, "tsconfig.tools.json");

/** The engine of this folder, or the `pulumi` on PATH. */
export type EngineName = "hermetic" | "cli";

export interface WorkspaceOptions {
  /** A folder with Pulumi.yaml, used where it is, or the text of a JavaScript program. */
  readonly program:
    | { readonly directory: string }
    | { readonly source: string; readonly name?: string; readonly yaml?: string };
  /** Where the state lies; a temporary folder otherwise. */
  readonly backend?: string;
  readonly stack?: string;
  readonly env?: Record<string, string>;
  /** Default: "hermetic". */
  readonly engine?: EngineName;
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly flags?: readonly string[];
}

export interface RunResult {
  readonly ok: boolean;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** "pre create type::name", "out …", "failed …", in the order of the engine's events. */
  readonly operations: string[];
  readonly diagnostics: { urn?: string; message: string; severity: string }[];
}

export interface StartedRun {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly result: Promise<RunResult>;
}

export type Command = "up" | "preview" | "refresh" | "destroy";

export interface Workspace {
  readonly directory: string;
  readonly backend: string;
  up(options?: RunOptions): Promise<RunResult>;
  preview(options?: RunOptions): Promise<RunResult>;
  refresh(options?: RunOptions): Promise<RunResult>;
  destroy(options?: RunOptions): Promise<RunResult>;
  /** The same without waiting, so that a test can kill it. */
  start(command: Command, options?: RunOptions): StartedRun;
  /** Any command line, such as ["config", "set", "key", "value"]. */
  command(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  exportStack(options?: { readonly showSecrets?: boolean }): Promise<Exported>;
  outputs(options?: { readonly showSecrets?: boolean }): Promise<Record<string, unknown>>;
  /** Ends what a killed run left behind, and removes the folders made for this workspace. */
  dispose(): void;
}

/** Whether a Pulumi CLI is there to compare with. */
export function cliAvailable(): boolean {
  return spawnSync("pulumi", ["version"], { encoding: "utf8" }).status === 0;
}

/** Where the user's own CLI keeps the plugins that it has installed. */
const installedPlugins = path.join(process.env["PULUMI_HOME"] ?? path.join(os.homedir(), ".pulumi"), "plugins");

/** The engines that scenarios run on here: the hermetic one, and the CLI too where it is with these plugins, as `docker`. */
export function enginesHere(...plugins: readonly string[]): readonly EngineName[] {
  const isOnPath = (plugin: string) =>
    (process.env["PATH"] ?? "")
      .split(path.delimiter)
      .some((folder) => fs.existsSync(path.join(folder, `pulumi-resource-${plugin}`)));
  const isInstalled = (plugin: string) =>
    fs.existsSync(installedPlugins) &&
    fs.readdirSync(installedPlugins).some((name) => new RegExp(`^resource-${plugin}-v[\\d.]+$`).test(name));
  return cliAvailable() && plugins.every((plugin) => isOnPath(plugin) || isInstalled(plugin))
    ? ["hermetic", "cli"]
    : ["hermetic"];
}

/** A home for the CLI, apart from the user's own but for the plugins, which nobody wants to download again. */
function homeIn(scratch: string): string {
  const home = path.join(scratch, "home");
  fs.mkdirSync(home);
  if (fs.existsSync(installedPlugins)) fs.symlinkSync(installedPlugins, path.join(home, "plugins"));
  return home;
}

export async function createWorkspace(options: WorkspaceOptions): Promise<Workspace> {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "engine-"));
  const directory =
    "directory" in options.program
      ? options.program.directory
      : writeProgram(path.join(scratch, "program"), options.program);
  const backend = options.backend ?? path.join(scratch, "state");
  fs.mkdirSync(backend, { recursive: true });
  const stack = options.stack ?? "dev";
  const cli = options.engine === "cli";
  const mark = crypto.randomUUID();
  const environment = {
    ...process.env,
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_CONFIG_PASSPHRASE: "test",
    PULUMI_SKIP_UPDATE_CHECK: "1",
    PULUMI_DEBUG_COMMANDS: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    ...(cli ? { PULUMI_HOME: homeIn(scratch) } : { HERMETIC_ENGINE_KEYS: path.join(scratch, "keys") }),
    WORKSPACE_MARK: mark,
    ...options.env,
  };
  const [program, first] = cli ? ["pulumi", []] : [process.execPath, [engineMain()]];

  const launch = (args: readonly string[], run: RunOptions = {}, events?: string): StartedRun => {
    const child = spawn(program, [...first, ...args], {
      cwd: directory,
      env: { ...environment, ...run.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const result = new Promise<RunResult>((resolve, reject) => {
      child.once("error", reject);
      // Not "close": after a SIGKILL the orphaned provider may hold on to what it inherited.
      child.once("exit", (exitCode, signal) => {
        setImmediate(() => resolve({ ok: exitCode === 0, exitCode, signal, stdout, stderr, ...readEvents(events) }));
      });
    });
    return { child, pid: child.pid ?? 0, result };
  };
  const command = (args: readonly string[], run?: RunOptions) => launch(args, run).result;
  let runs = 0;
  const start = (kind: Command, run: RunOptions = {}): StartedRun => {
    const events = path.join(scratch, `events-${runs++}`);
    const confirm =
      kind === "preview"
        ? []
        : ["--yes", ...(kind === "up" || kind === "refresh" || kind === "destroy" ? ["--skip-preview"] : [])];
    return launch(
      [kind, "--stack", stack, ...confirm, "--non-interactive", "--event-log", events, ...(run.flags ?? [])],
      run,
      events,
    );
  };
  const must = async (args: string[]): Promise<string> => {
    const result = await command(args);
    if (!result.ok) throw new Error(`${args.join(" ")}: ${result.stderr || result.stdout}`);
    return result.stdout;
  };

  const stackFile = path.join(
    backend,
    cli ? ".pulumi" : ".hermetic",
    "stacks",
    projectName(directory),
    `${stack}.json`,
  );
  if (!fs.existsSync(stackFile)) await must(["stack", "init", stack]);
  return {
    directory,
    backend,
    up: (run) => start("up", run).result,
    preview: (run) => start("preview", run).result,
    refresh: (run) => start("refresh", run).result,
    destroy: (run) => start("destroy", run).result,
    start,
    command,
    exportStack: async ({ showSecrets = false } = {}) =>
      JSON.parse(await must(["stack", "export", "--stack", stack, ...(showSecrets ? ["--show-secrets"] : [])])),
    outputs: async ({ showSecrets = false } = {}) =>
      cli || showSecrets
        ? JSON.parse(
            await must(["stack", "output", "--json", "--stack", stack, ...(showSecrets ? ["--show-secrets"] : [])]),
          )
        : storedOutputs(stackFile),
    dispose: () => {
      endMarked(mark);
      fs.rmSync(scratch, { recursive: true, force: true });
    },
  };
}

function writeProgram(
  directory: string,
  program: { readonly source: string; readonly name?: string; readonly yaml?: string },
): string {
  fs.mkdirSync(directory, { recursive: true });
  const name = program.name ?? "test";
  fs.writeFileSync(path.join(directory, "index.js"), program.source);
  fs.writeFileSync(path.join(directory, "package.json"), JSON.stringify({ name, main: "index.js" }));
  const yaml = `name: ${name}\nmain: index.js\nruntime: { name: nodejs, options: { typescript: false } }\n${program.yaml ?? ""}`;
  fs.writeFileSync(path.join(directory, "Pulumi.yaml"), yaml);
  fs.symlinkSync(path.join(repository, "node_modules"), path.join(directory, "node_modules"));
  return directory;
}

/** As `stack output` shows them, read from the state: tests ask often, and a process takes a second. */
function storedOutputs(stackFile: string): Record<string, unknown> {
  const stored = JSON.parse(fs.readFileSync(stackFile, "utf8")) as {
    checkpoint: { latest?: { resources?: { type: string; outputs?: Record<string, unknown> }[] } };
  };
  const outputs =
    stored.checkpoint.latest?.resources?.find(({ type }) => type === "pulumi:pulumi:Stack")?.outputs ?? {};
  const isSecret = (value: unknown) => typeof value === "object" && value !== null && "ciphertext" in value;
  return JSON.parse(JSON.stringify(outputs), (_key, value) => (isSecret(value) ? "[secret]" : value));
}

function projectName(directory: string): string {
  return /^name:\s*(\S+)/m.exec(fs.readFileSync(path.join(directory, "Pulumi.yaml"), "utf8"))?.[1] ?? "";
}

function readEvents(file: string | undefined): Pick<RunResult, "operations" | "diagnostics"> {
  const operations: string[] = [];
  const diagnostics: RunResult["diagnostics"] = [];
  if (!file || !fs.existsSync(file)) return { operations, diagnostics };
  const names = { resourcePreEvent: "pre", resOutputsEvent: "out", resOpFailedEvent: "failed" } as const;
  for (const line of fs.readFileSync(file, "utf8").split("\n").filter(Boolean)) {
    let event: Record<string, { metadata: { op: string; urn: string } }> & {
      diagnosticEvent?: RunResult["diagnostics"][number];
    };
    try {
      event = JSON.parse(line);
    } catch {
      continue; // The last line of a run that was killed.
    }
    for (const [key, name] of Object.entries(names)) {
      const metadata = event[key]?.metadata;
      if (metadata) operations.push(`${name} ${metadata.op} ${shortUrn(metadata.urn)}`);
    }
    if (event.diagnosticEvent) diagnostics.push(event.diagnosticEvent);
  }
  return { operations, diagnostics };
}

/** Type and name: what a test wants to read. */
export function shortUrn(urn: string): string {
  return urn
    .split("::")
    .slice(2)
    .map((part) => part.split("$").pop())
    .join("::");
}

/** The processes of this workspace alone: they carry its mark in their environment. */
function endMarked(mark: string): void {
  for (const entry of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      if (fs.readFileSync(`/proc/${entry}/environ`, "utf8").includes(`WORKSPACE_MARK=${mark}`))
        process.kill(Number(entry), "SIGKILL");
    } catch {
      // Gone, or not ours to look at.
    }
  }
}

function findUp(start: string, name: string): string {
  for (let directory = start; directory !== path.dirname(directory); directory = path.dirname(directory)) {
    if (fs.existsSync(path.join(directory, name))) return directory;
  }
  throw new Error(`${name} not found above ${start}`);
}

/** The compiled engine, compiled now where that has not been done since the last change. */
function engineMain(): string {
  const main = path.join(repository, "build", "test", "engine", "main.js");
  if (process.env.HERMETIC_ENGINE) return process.env.HERMETIC_ENGINE;
  const sources = path.join(repository, "test", "engine");
  const stale = () =>
    fs.readdirSync(sources).some((name) => {
      if (!name.endsWith(".ts") || name.endsWith(".test.ts")) return false;
      const output = path.join(path.dirname(main), name.replace(/\.ts$/, ".js"));
      return !fs.existsSync(output) || fs.statSync(output).mtimeMs < fs.statSync(path.join(sources, name)).mtimeMs;
    });
  const lock = path.join(repository, "build", ".engine-lock");
  fs.mkdirSync(path.dirname(lock), { recursive: true });
  while (stale()) {
    try {
      fs.mkdirSync(lock);
    } catch {
      // Another test process compiles; one that died while doing so is not waited for.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
      if (fs.existsSync(lock) && Date.now() - fs.statSync(lock).mtimeMs > 60_000) fs.rmdirSync(lock);
      continue;
    }
    try {
      const compiler = path.join(repository, "node_modules", "typescript", "bin", "tsc");
      // Only this folder: a mistake in another one is not the engine's.
      const options = ["--project", path.join(sources, "tsconfig.json")];
      const result = spawnSync(process.execPath, [compiler, ...options], { encoding: "utf8" });
      if (result.status !== 0) throw new Error(`the hermetic engine does not compile:\n${result.stdout}`);
      for (const name of fs.readdirSync(path.dirname(main)))
        fs.utimesSync(path.join(path.dirname(main), name), new Date(), new Date());
    } finally {
      fs.rmdirSync(lock);
    }
  }
  return main;
}
