import { type ChildProcess, spawn } from "node:child_process";
import * as path from "node:path";
import * as readline from "node:readline";
import type { Config, Project } from "./project";
import { LATE_MODULES, type Sdk } from "./sdk";

/** An exit code by which the SDK says that the error was reported through the engine already. */
const alreadyReported = 32;

export interface ProgramOptions {
  readonly sdk: Sdk;
  readonly project: Project;
  readonly stack: string;
  readonly config: Config;
  readonly address: string;
  readonly dryRun: boolean;
  readonly log: (line: string, stream: "stdout" | "stderr") => void;
}

/** The configuration in the form the SDK reads from the environment. */
export function configEnvironment(config: Config): Record<string, string> {
  const values = Object.fromEntries([...config].map(([key, value]) => [key.replace(":", ":config:"), value.text]));
  const secrets = [...config].filter(([, value]) => value.secret).map(([key]) => key);
  return { PULUMI_CONFIG: JSON.stringify(values), PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(secrets) };
}

/** Runs the program, unmodified, through the SDK's own entry point, as the CLI's language host does. */
export class Program {
  readonly #child: ChildProcess;
  /** Undefined when all went well. */
  readonly ended: Promise<string | undefined>;

  constructor(options: ProgramOptions) {
    const { sdk, project, address } = options;
    const script = path.join(sdk.directory, "cmd", "run");
    this.#child = spawn(
      process.execPath,
      [
        ...LATE_MODULES,
        ...project.nodeArguments,
        script,
        ...["--monitor", address, "--engine", address, "--organization", "organization"],
        ...["--project", project.name, "--root-directory", project.directory, "--stack", options.stack],
        ...["--pwd", project.programDirectory, ...(options.dryRun ? ["--dry-run"] : []), "--parallel", "16"],
        project.main,
      ],
      {
        cwd: project.programDirectory,
        // A process group of its own: Ctrl-C is for the engine alone, which ends the program when it is time.
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
        env: {
          ...process.env,
          ...configEnvironment(options.config),
          ...(project.typescript ? { PULUMI_NODEJS_TYPESCRIPT: "true" } : {}),
          ...(project.tsconfig ? { PULUMI_NODEJS_TSCONFIG_PATH: project.tsconfig } : {}),
        },
      },
    );
    const { stdout, stderr } = this.#child;
    if (stdout) readline.createInterface({ input: stdout }).on("line", (line) => options.log(line, "stdout"));
    if (stderr) readline.createInterface({ input: stderr }).on("line", (line) => options.log(line, "stderr"));
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(`the program could not be started: ${error.message}`));
      this.#child.once("close", (code, signal) => {
        if (code === 0) resolve(undefined);
        else if (code === alreadyReported) resolve("");
        else resolve(`an unhandled error occurred: Program exited with non-zero exit code: ${code ?? signal}`);
      });
    });
  }

  /** After a stop the program usually ends by itself, since its calls are answered UNAVAILABLE. */
  async stop(graceMilliseconds: number): Promise<void> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), graceMilliseconds);
    await this.ended;
    clearTimeout(timer);
  }
}
