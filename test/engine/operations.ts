import { Deployment, type DeploymentOptions } from "./deployment";
import { Events, type Listener, type Summary } from "./events";
import { Journal } from "./journal";
import { Monitor } from "./monitor";
import { configEnvironment, Program } from "./program";
import type { Config, Project } from "./project";
import { Providers } from "./providers";
import { stackType, typeOf } from "./resource";
import type { Sdk } from "./sdk";
import type { Backend, Serializer, Snapshot } from "./state";
import type { Targets } from "./targets";
import type { Properties } from "./values";

export interface Operation {
  readonly kind: "up" | "preview" | "refresh" | "destroy";
  readonly dryRun: boolean;
  readonly refresh: boolean;
  readonly clearPendingCreates: boolean;
  readonly continueOnError: boolean;
  readonly targets: Targets;
  readonly targetDependents: boolean;
}

export interface StackContext {
  readonly sdk: Sdk;
  readonly project: Project;
  readonly stack: string;
  readonly backend: Backend;
  readonly serializer: Serializer;
  readonly config: Config;
  readonly salt: string | undefined;
}

export interface OperationResult {
  readonly summary: Summary;
  readonly outputs: { old: Properties; new: Properties };
}

/** Runs one operation. `interrupted` is handed a function that stops it gracefully. */
export async function run(
  context: StackContext,
  operation: Operation,
  listeners: Listener[],
  interrupted: (stop: () => void) => void,
): Promise<OperationResult> {
  const started = Date.now();
  const { sdk, project, stack, backend, serializer } = context;
  const events = new Events(listeners);
  const base = serializer.open(backend.read(stack));
  if (operation.clearPendingCreates && !operation.dryRun) base.pendingOperations = [];
  const old = stackOutputs(base);
  warnPending(base, operation, events);

  const log = (line: string, stream: "stdout" | "stderr") =>
    events.diagnostic(stream === "stdout" ? "info" : "info#err", line);
  const monitor = new Monitor(sdk, context.config);
  await monitor.listen();
  const providers = new Providers({
    sdk,
    project: project.name,
    stack,
    directory: project.programDirectory,
    engineAddress: monitor.address,
    configEnvironment: configEnvironment(context.config),
    log,
  });
  const save = (snapshot: Snapshot) => backend.write(stack, serializer.close(snapshot, context.salt));
  const journal = operation.dryRun ? undefined : new Journal(base, save);
  const options: DeploymentOptions = {
    sdk,
    project: project.name,
    stack,
    dryRun: operation.dryRun,
    refreshOnly: operation.kind === "refresh",
    continueOnError: operation.continueOnError,
    targets: operation.targets,
    targetDependents: operation.targetDependents,
    base,
    journal,
    events,
    providers,
  };
  const deployment = new Deployment(options);
  interrupted(() => {
    deployment.canceled = true;
    deployment.stop();
  });
  try {
    if (operation.refresh || operation.kind === "refresh") await deployment.refresh();
    if (operation.kind === "destroy" && !deployment.stopped) {
      deployment.checkTargets();
      await deployment.finish();
    } else if (operation.kind !== "refresh" && !deployment.stopped) {
      await runProgram(context, deployment, monitor, log);
    }
    await deployment.close();
    journal?.save();
  } finally {
    await providers.stop();
    monitor.close();
  }
  const kind = operation.dryRun ? "preview" : operation.kind === "up" ? "update" : operation.kind;
  if (deployment.canceled) {
    events.error(`${kind} canceled`);
    events.emit({ kind: "cancel" });
  } else if (deployment.failed) {
    events.error(`${operation.dryRun ? "preview" : "update"} failed`);
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  const summary: Summary = {
    planning: operation.dryRun,
    failed: deployment.failed,
    seconds,
    changes: deployment.changes,
  };
  events.emit({ kind: "summary", summary });
  const now = operation.dryRun
    ? [...deployment.news.values()].find((state) => state.type === stackType)?.outputs
    : undefined;
  return { summary, outputs: { old, new: now ?? (journal ? stackOutputs(journal.snapshot()) : old) } };
}

async function runProgram(
  context: StackContext,
  deployment: Deployment,
  monitor: Monitor,
  log: (line: string, stream: "stdout" | "stderr") => void,
): Promise<void> {
  let finished: () => void = () => {};
  monitor.serve(deployment, new Promise((resolve) => (finished = resolve)));
  const program = new Program({
    sdk: context.sdk,
    project: context.project,
    stack: context.stack,
    config: context.config,
    address: monitor.address,
    dryRun: deployment.dryRun,
    log,
  });
  const failed = await Promise.race([
    monitor.allRegistered.then(() => undefined),
    program.ended,
    deployment.whenStopped.catch(() => undefined),
  ]);
  if (failed !== undefined) {
    if (failed) deployment.events.error(failed);
    deployment.sawError = true;
    deployment.stop();
  }
  if (!deployment.stopped) {
    deployment.checkTargets(true);
    await deployment.finish();
  }
  await deployment.executor.idle();
  finished();
  await program.stop(deployment.stopped ? 3000 : 30_000);
}

export function stackOutputs(snapshot: Snapshot): Properties {
  return snapshot.resources.find((state) => typeOf(state.urn) === stackType && !state.delete)?.outputs ?? {};
}

function warnPending(base: Snapshot, operation: Operation, events: Events): void {
  if (base.pendingOperations.length === 0 || operation.dryRun || operation.kind === "refresh" || operation.refresh)
    return;
  const list = base.pendingOperations
    .map(({ resource, type }) => `  * ${resource.urn}, interrupted while ${type}\n`)
    .join("");
  events.diagnostic(
    "warning",
    `Attempting to deploy or update resources with ${base.pendingOperations.length} pending operations from previous deployment.\n${list}` +
      "These resources are in an unknown state because the engine was interrupted while waiting for changes to these resources to complete. " +
      "You should confirm whether or not the operations listed completed successfully. " +
      "`refresh` clears pending operations, except for creates: `refresh --clear-pending-creates` clears those too.",
  );
}
