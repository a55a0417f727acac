// Benchmarks: `npm run bench -- <name>`. A table for people; the last line is JSON for programs.

import { acknowledged } from "./acknowledged";
import { type Benchmark, BenchmarkUsage } from "./benchmark";
import { failover } from "./failover";
import { formation } from "./formation";
import { migration } from "./migration";

const BENCHMARKS: readonly Benchmark[] = [formation, migration, acknowledged, failover];

async function main([name, ...args]: readonly string[]): Promise<number> {
  const benchmark = BENCHMARKS.find((b) => b.name === name);
  if (!benchmark) {
    const known = BENCHMARKS.map((b) => `  ${b.name.padEnd(12)} ${b.summary}\n    ${b.usage}`);
    process.stderr.write(`npm run bench -- <name> [options]\n\n${known.join("\n")}\n`);
    return 2;
  }
  try {
    const figures = await benchmark.run(args);
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return 0;
  } catch (error) {
    const text =
      error instanceof BenchmarkUsage
        ? `${error.message}; ${benchmark.usage}`
        : error instanceof Error
          ? (error.stack ?? error.message)
          : error;
    process.stderr.write(`bench ${name}: ${text}\n`);
    return error instanceof BenchmarkUsage ? 2 : 1;
  }
}

void main(process.argv.slice(2)).then((code) => process.exit(code));
