import "./lateModules";
import { parseArguments, UsageError } from "./arguments";
import { cancel, configCommand, stackCommand } from "./commands";
import { Digest } from "./digest";
import { Display } from "./display";
import { eventLog, type Listener } from "./events";
import { lockStack } from "./lock";
import { type Operation, run } from "./operations";
import { Session } from "./session";
import { Targets } from "./targets";

const usage = `usage: node build/test/engine/main.js <command> [flags]
  up | preview | refresh | destroy    [--yes] [--skip-preview] [--refresh] [--target URN]… [--exclude URN]…
                                      [--target-dependents] [--continue-on-error] [--diff] [--json (preview)]
                                      [--clear-pending-creates (refresh)] [--event-log FILE]
  cancel                              removes the lock of a run that was killed
  stack init|select|ls|rm|output|export|import
  config [set [--secret] KEY VALUE | get KEY | rm KEY]
  every command takes [-s|--stack NAME] [--cwd DIR]`;

/** As the CLI's, for any failure. */
const failure = 255;

async function main(argv: string[]): Promise<number> {
  const args = parseArguments(argv);
  const command = args.words[0];
  if (!command || args.flags.has("--help")) {
    process.stdout.write(`${usage}\n`);
    return command || args.flags.has("--help") ? 0 : failure;
  }
  const write = (line: string) => void process.stdout.write(`${line}\n`);
  switch (command) {
    case "up":
    case "preview":
    case "refresh":
    case "destroy":
      return operate(new Session(args), command, write);
    case "cancel":
      cancel(new Session(args), write);
      return 0;
    case "stack":
      stackCommand(new Session(args), write);
      return 0;
    case "config":
      configCommand(new Session(args), write);
      return 0;
    default:
      throw new UsageError(`unknown command: ${command}\n${usage}`);
  }
}

async function operate(session: Session, kind: Operation["kind"], write: (line: string) => void): Promise<number> {
  const { flags, values } = session.args;
  const json = flags.has("--json");
  if (json && kind !== "preview") throw new UsageError("--json is for preview only");
  const notice = "Hermetic engine: a test double standing in for the Pulumi CLI.";
  if (json) process.stderr.write(`${notice}\n`);
  else write(notice);
  const stack = session.stackName();
  const context = session.context(stack);
  const targets = new Targets(values.get("--target") ?? [], values.get("--exclude") ?? []);
  if (flags.has("--target-dependents") && kind !== "destroy")
    throw new UsageError("--target-dependents is implemented for destroy only");
  const skipPreview = flags.has("--skip-preview");
  if (kind !== "preview" && !flags.has("--yes") && !skipPreview && !flags.has("--preview-only")) {
    throw new Error(
      "--yes or --skip-preview or --preview-only must be passed in to proceed when running in non-interactive mode",
    );
  }
  if (kind !== "preview" && skipPreview && !flags.has("--yes"))
    throw new Error("--yes must be passed in to proceed when running in non-interactive mode");

  const operation = (dryRun: boolean): Operation => ({
    kind,
    dryRun,
    refresh: flags.has("--refresh") || (session.project.refreshAlways && kind !== "refresh"),
    clearPendingCreates: flags.has("--clear-pending-creates"),
    continueOnError: flags.has("--continue-on-error"),
    targets,
    targetDependents: flags.has("--target-dependents"),
  });
  const log = values.get("--event-log")?.at(-1);
  const phase = async (dryRun: boolean): Promise<boolean> => {
    const display = new Display({ write, stack, project: session.project.name, showDiff: flags.has("--diff") });
    const digest = new Digest();
    const listeners: Listener[] = [json ? digest.listener : display.listener];
    if (log && (kind === "preview" || !dryRun)) listeners.push(eventLog(log));
    if (!json) write(`${title(kind, dryRun)} (${stack}):`);
    const result = await run(context, operation(dryRun), listeners, onInterrupt);
    if (json) {
      const config = [...context.config].map(([key, value]) => [key, value.secret ? "[secret]" : value.text]);
      write(digest.toJson(Object.fromEntries(config)));
    } else {
      display.end(result.summary, result.outputs);
    }
    return !result.summary.failed;
  };

  if (kind === "preview") return (await phase(true)) ? 0 : failure;
  // The lock comes first: a preview of what another run is changing is worth nothing.
  const unlock = lockStack(session.backend, stack);
  try {
    if (!skipPreview && !(await phase(true))) return failure;
    if (flags.has("--preview-only")) return 0;
    if (!skipPreview) write("");
    return (await phase(false)) ? 0 : failure;
  } finally {
    unlock();
  }
}

function title(kind: Operation["kind"], dryRun: boolean): string {
  if (kind === "preview" || (dryRun && kind === "up")) return "Previewing update";
  if (dryRun) return `Previewing ${kind}`;
  return { up: "Updating", refresh: "Refreshing", destroy: "Destroying" }[kind];
}

/** The first signal lets running calls finish and saves; there is no second: what is half done must be written down. */
function onInterrupt(stop: () => void): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.removeAllListeners(signal);
    process.on(signal, () => {
      process.stderr.write(`${signal} received: waiting for running operations to finish\n`);
      stop();
    });
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = failure;
  },
);
