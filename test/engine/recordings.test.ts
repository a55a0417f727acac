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

function compare(actual: StepResult, expected: RecordedStep): void {
  const context = `\n${actual.output}`;
  expect(actual.ok, context).toBe(expected.ok);
  if (expected.sameSet) {
    expect(sorted(actual.state)).toEqual(sorted(expected.state));
    if (expected.ordered) {
      expect(actual.calls).toEqual(expected.calls);
      expect(actual.operations).toEqual(expected.operations);
      expect(actual.state).toEqual(expected.state);
    } else {
      expect(sorted(actual.calls)).toEqual(sorted(expected.calls));
      expect(sorted(actual.operations)).toEqual(sorted(expected.operations));
    }
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
