import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type Reporter, type TestModule, type TestSpecification } from "vitest/node";

/** Ends every run with one plain line, for people and for CI: `12 passed, 0 failed, 1 skipped`. */
class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      const tests = [...module.children.allTests()];
      for (const test of tests) {
        const { state } = test.result();
        counts[state === "pending" ? "skipped" : state]++;
      }
      // A file that breaks before or beside its tests has failed, whatever its tests say.
      if (module.state() === "failed" && !tests.some((test) => test.result().state === "failed")) counts.failed++;
    }
    // After the reporters before it have written theirs, so that it is the last line.
    process.once("exit", () => {
      process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
    });
  }
}

/**
 * Pure code first, since it tells soonest. Then files of the engine, which keep a core busy each, beside those with real servers, which mostly
 * wait: one of the former to two of the latter. One project after the other would leave cores idle, and have the busiest files last.
 */
class Mixed extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const of = (...names: string[]) => names.flatMap((name) => sorted.filter(({ project }) => project.name === name));
    const busy = of("engine");
    // The longest files are those with containers: last, they would go on alone.
    const waiting = of("docker", "cluster", "strict");
    const mixed = busy.flatMap((file, i) => [file, ...waiting.slice(2 * i, 2 * i + 2)]);
    return [...of("unit", "property"), ...mixed, ...waiting.slice(2 * busy.length)];
  }
}

const SECOND = 1000;

/** The long run asks more of a test, on a machine that is busier. */
const PATIENCE = process.env.FULL ? 6 : 1;

/**
 * Of files with processes: four at once leave a quarter of two cores idle, six keep them busy; all of the long run wait more, hence eight. Memory
 * sets the upper bound: about 0.5 GiB each.
 */
const FILES_AT_ONCE = Math.min(12, Math.max(4, (process.env.FULL ? 4 : 3) * availableParallelism()));

/**
 * Scenarios that are run a second time under TLS and with strict users (`test/support/modes.ts`): all of them in `npm run test:full`,
 * some otherwise. What is not here is of one of the two, or speaks to no cluster of ours.
 */
const STRICT_SAMPLE = ["changes/changes", "formation/probe", "scale/strayKeys"];
const STRICT_ALL = [
  "changes/*",
  "drift/*",
  "formation/*",
  "local/{node,volume}",
  "operations/status",
  "preview/interrupted",
  "roll/*",
  "scale/*",
  "up/{faults,kills,shapes,up}",
];
const strict = (process.env.FULL ? STRICT_ALL : STRICT_SAMPLE).map((name) => `test/cluster/${name}.test.ts`);

export default defineConfig({
  test: {
    reporters: ["default", new ClosingLine()],
    passWithNoTests: true,
    sequence: { sequencer: Mixed },
    coverage: {
      provider: "v8",
      include: ["components/**/*.ts", "infra/platforms/**/*.ts"],
      reporter: ["text-summary", "html", "json-summary"],
      reportsDirectory: "coverage",
    },
    projects: [
      // Pure code.
      project("unit", ["test/unit/**/*.test.ts"], { timeout: 10 * SECOND }),
      project("property", ["test/property/**/*.test.ts"], { timeout: 120 * SECOND }),
      // Processes of Pulumi, and real servers, which mostly wait: `FILES_AT_ONCE`.
      project("engine", ["test/engine/**/*.test.ts"], { timeout: 240 * SECOND, processes: true }),
      project("cluster", ["test/cluster/**/*.test.ts", "test/upgrade/**/*.test.ts", "test/platform/local.test.ts"], {
        timeout: 300 * SECOND,
        processes: true,
      }),
      // Real containers: a daemon that runs, or one that the run starts and takes away again.
      project("docker", ["test/docker/**/*.test.ts", "test/platform/docker.test.ts"], {
        timeout: 300 * SECOND,
        processes: true,
        setup: "test/support/dockerSetup.ts",
      }),
      project("strict", strict, { timeout: 300 * SECOND, processes: true, env: { STRICT: "1" } }),
    ],
  },
});

interface Kind {
  readonly timeout: number;
  readonly processes?: boolean;
  readonly env?: Record<string, string>;
  /** A file that runs once before the project's tests, and once after. */
  readonly setup?: string;
}

function project(name: string, include: string[], how: Kind) {
  return {
    extends: true as const,
    test: {
      name,
      include,
      testTimeout: PATIENCE * how.timeout,
      hookTimeout: PATIENCE * how.timeout,
      ...(how.env ? { env: how.env } : {}),
      ...(how.setup ? { globalSetup: [how.setup] } : {}),
      // Real processes on a shared machine: a repetition tells a race of the test from a fault; the reporter names it.
      retry: how.processes && process.env.CI ? 2 : 0,
      maxWorkers: FILES_AT_ONCE,
    },
  };
}
