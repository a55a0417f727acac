import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, test } from "vitest";
import { type RecordedStep, recordingsFolder, runScenario, type Scenario, type StepResult } from "./scenario";
import { cliAvailable } from "./workspace";

// Proves that the hermetic engine does what the real CLI did: the same provider calls, the same engine events, the same
// state after every step of every recorded scenario.

const scenarios: Scenario[] = JSON.parse(fs.readFileSync(path.join(recordingsFolder, "scenarios.json"), "utf8"));
const sorted = (list: readonly unknown[]) => list.map((item) => JSON.stringify(item)).sort();

function recorded(name: string): { cli: string; steps: RecordedStep[] } {
  return JSON.parse(fs.readFileSync(path.join(recordingsFolder, "recorded", `${name}.json`), "utf8"));
}

interface NamedState {
  urn: string;
  delete?: boolean;
  parent?: string;
  dependencies: string[];
}

/** What there is twice: a replacement, and the old resource that waits to be deleted. Their order tells them apart. */
function twins(state: readonly unknown[]): string[] {
  const list = state as NamedState[];
  const doubled = list.filter(({ urn }) => list.filter((other) => other.urn === urn).length > 1);
  return doubled
    .map(({ urn, delete: gone }) => `${urn} ${gone === true}`)
    .sort((a, b) => (a.split(" ")[0] ?? "").localeCompare(b.split(" ")[0] ?? ""));
}

function expectTopological(state: readonly unknown[]): void {
  const seen = new Set<string>();
  for (const { urn, parent, dependencies } of state as NamedState[]) {
    for (const needed of [...dependencies, ...(parent ? [parent] : [])])
      expect(seen, `${urn} before ${needed}`).toContain(needed);
    seen.add(urn);
  }
}

/**
 * Resources that nothing connects are deleted at once, and which comes first differs between equal recordings. Deletes
 * that began together (no end between their beginnings) are put in the order of their names; nothing else is moved.
 */
function together(operations: readonly string[]): string[] {
  return sortRuns(operations.filter(isOrdered), (line) => /^(pre|out) delete/.exec(line)?.[1]);
}

/** A component's outputs and the default provider come whenever they come, beside everything else: no order is recorded. */
function isOrdered(operation: string): boolean {
  return (
    !operation.endsWith("pulumi:providers:pulumi-nodejs::default") && !/^out \w+ rec:index:Group::/.test(operation)
  );
}

/** The same for the calls, which name resources by label. */
function callsTogether(calls: readonly string[], operations: readonly string[]): string[] {
  const begun = new Map<string, string>();
  let group = 0;
  for (const operation of operations) {
    if (!operation.startsWith("pre delete")) group++;
    else begun.set(operation.split("::").pop() ?? "", `${group}`);
  }
  return sortRuns(calls, (call) => (call.startsWith("delete ") ? begun.get(call.split(" ")[1] ?? "") : undefined));
}

/** Sorts every run of neighbours of the same kind; lines without a kind stay. */
function sortRuns(lines: readonly string[], kindOf: (line: string) => string | undefined): string[] {
  const result: string[] = [];
  let run: string[] = [];
  let kind: string | undefined;
  for (const line of lines) {
    const next = kindOf(line);
    if (next === undefined || next !== kind) {
      result.push(...run.sort());
      run = [];
    }
    kind = next;
    run.push(line);
  }
  return [...result, ...run.sort()];
}

function compare(actual: StepResult, expected: RecordedStep): void {
  const context = `\n${actual.output}`;
  expect(actual.ok, context).toBe(expected.ok);
  if (expected.sameSet) {
    // The order of siblings in the state is that in which an earlier step happened to complete them.
    expect(sorted(actual.state)).toEqual(sorted(expected.state));
    expect(twins(actual.state)).toEqual(twins(expected.state));
    expectTopological(actual.state);
    expect(sorted(actual.calls)).toEqual(sorted(expected.calls));
    expect(sorted(actual.operations)).toEqual(sorted(expected.operations));
    if (!expected.ordered) return;
    const { operations } = expected;
    expect(callsTogether(actual.calls, operations)).toEqual(callsTogether(expected.calls, operations));
    expect(together(actual.operations)).toEqual(together(operations));
    return;
  }
  // What ran beside a failure before the run was stopped is a race, on the real CLI too. Compared is what both must have
  // in common: what failed, and for each resource that both have come to, the same state.
  const failures = (list: readonly string[]) => list.filter((line) => line.startsWith("failed")).sort();
  expect(failures(actual.operations)).toEqual(failures(expected.operations));
  const byUrn = new Map((actual.state as { urn: string }[]).map((state) => [state.urn, state]));
  for (const state of expected.state as { urn: string }[]) {
    const same = byUrn.get(state.urn);
    if (same) expect({ ...same, outputs: {} }).toEqual({ ...state, outputs: {} });
  }
}

describe.each(scenarios)("scenario $name", (scenario) => {
  const recording = recorded(scenario.name);
  test(`the hermetic engine does what the CLI ${recording.cli} did`, { timeout: 120_000 }, async () => {
    const results = await runScenario(scenario, "hermetic");
    expect(results).toHaveLength(recording.steps.length);
    for (const [i, result] of results.entries()) {
      const expected = recording.steps[i];
      if (!expected) throw new Error(`step ${i} was not recorded`);
      try {
        compare(result, expected);
      } catch (error) {
        (error as Error).message = `step ${i} (${expected.do} ${expected.flags ?? ""}): ${(error as Error).message}`;
        throw error;
      }
    }
  });

  test.skipIf(!cliAvailable())("the CLI on PATH does what was recorded", { timeout: 300_000 }, async () => {
    const results = await runScenario(scenario, "cli");
    for (const [i, result] of results.entries()) compare(result, recording.steps[i] as RecordedStep);
  });
});
