import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { createWorkspace, type EngineName, shortUrn } from "./workspace";

/** One step of a scenario, as `recordings/record.mjs` writes it. */
export interface RecordedStep {
  readonly do: "up" | "preview" | "refresh" | "destroy";
  readonly flags?: readonly string[];
  readonly env?: Record<string, string>;
  readonly shape?: unknown;
  readonly ok: boolean;
  readonly calls: readonly string[];
  readonly operations: readonly string[];
  readonly state: readonly unknown[];
  /** Three runs of the real CLI did the same things in the same order. */
  readonly ordered: boolean;
  /** They did the same things in some order. */
  readonly sameSet: boolean;
}

export interface Scenario {
  readonly name: string;
  readonly password?: string;
  readonly steps: readonly Pick<RecordedStep, "do" | "flags" | "env" | "shape">[];
}

export type StepResult = Pick<RecordedStep, "ok" | "calls" | "operations" | "state"> & { readonly output: string };

export const recordingsFolder = path.resolve(__dirname.replace(/([\\/])build([\\/])test/, "$1test"), "recordings");

/** Runs a scenario with the recording's program, and brings what happened into the recording's form. */
export async function runScenario(scenario: Scenario, engine: EngineName): Promise<StepResult[]> {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "scenario-"));
  for (const name of ["program.js", "Pulumi.yaml"])
    fs.copyFileSync(path.join(recordingsFolder, name), path.join(work, name));
  fs.writeFileSync(path.join(work, "package.json"), '{"name":"rec","main":"program.js"}');
  fs.symlinkSync(path.resolve(recordingsFolder, "../../../node_modules"), path.join(work, "node_modules"));
  const workspace = await createWorkspace({ program: { directory: work }, engine });
  try {
    if (scenario.password) await workspace.command(["config", "set", "--secret", "rec:password", scenario.password]);
    const results: StepResult[] = [];
    for (const [i, step] of scenario.steps.entries()) {
      if (step.shape) await workspace.command(["config", "set", "rec:shape", JSON.stringify(step.shape)]);
      const calls = path.join(work, `calls-${i}`);
      fs.writeFileSync(calls, "");
      const run = await workspace[step.do]({ flags: step.flags ?? [], env: { ...step.env, CALLS: calls } });
      const exported = await workspace.exportStack({ showSecrets: true });
      results.push({
        ok: run.ok,
        calls: fs.readFileSync(calls, "utf8").trim().split("\n").filter(Boolean),
        operations: run.operations,
        state: JSON.parse(JSON.stringify((exported.deployment.resources ?? []).map(normalise))),
        output: run.stdout + run.stderr,
      });
    }
    return results;
  } finally {
    workspace.dispose();
    fs.rmSync(work, { recursive: true, force: true });
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a state as it is exported.
function normalise(resource: any): unknown {
  const dependencies = Object.entries<string[]>(resource.propertyDependencies ?? {}).filter(([, urns]) => urns?.length);
  return {
    urn: shortUrn(resource.urn),
    id: resource.type.startsWith("pulumi:providers") ? "<uuid>" : resource.id,
    inputs: strip(resource.inputs ?? {}),
    outputs: strip(resource.outputs ?? {}),
    parent: resource.parent && shortUrn(resource.parent),
    dependencies: (resource.dependencies ?? []).map(shortUrn).sort(),
    propertyDependencies: Object.fromEntries(dependencies.map(([key, urns]) => [key, urns.map(shortUrn).sort()])),
    initErrors: resource.initErrors,
    delete: resource.delete,
    protect: resource.protect,
  };
}

// biome-ignore lint/suspicious/noExplicitAny: any JSON.
function strip(value: any): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== "object" || value === null) return value;
  if (value["4dabf18193072939515e22adb298388d"])
    return { "<secret>": value.plaintext ? JSON.parse(value.plaintext) : "encrypted" };
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "__provider")
      .sort()
      .map(([key, item]) => [key, strip(item)]),
  );
}
