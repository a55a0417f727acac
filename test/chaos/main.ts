// Chaos: npm run chaos -- --runs N --seed S [--only K[,K…|K-K]] [--server name] [--plant bug] [--verbose]
// A line a run, a table for people; the last line is one JSON object for programs.

import { parseArgs } from "node:util";
import { toolchain } from "../bench/servers";
import { type ServerProgram, TEST_SERVER_NAMES, type TestServerName } from "../support/servers";
import { isPlant, PLANTS, type Plant, plant } from "./plant";
import { ACCEPTED_REFUSALS, type RunReport, runSequence } from "./run";
import { describeSequence, FAULTS, sequenceOf } from "./sequence";

const USAGE = `npm run chaos -- [--runs N] [--seed S] [--only K | --only K-L | --only K,L] [--server ${TEST_SERVER_NAMES.join("|")}] [--plant ${PLANTS.join("|")}] [--verbose]`;

interface Options {
  readonly seed: number;
  readonly indices: readonly number[];
  readonly server: TestServerName | undefined;
  readonly plant: Plant | undefined;
  readonly verbose: boolean;
}

/** How often each: Valkey 8.1 asks its replicas about every slot that moves, and so takes its time. */
const SERVERS: readonly TestServerName[] = [
  ...["redis-7.0", "redis-7.0", "redis-7.0", "redis-8.0", "redis-8.0", "valkey-9.1", "valkey-9.1", "valkey-9.1"],
  "valkey-8.1",
] as const;

class Usage extends Error {}

function optionsFrom(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      server: { type: "string" },
      plant: { type: "string" },
      verbose: { type: "boolean", default: false },
    },
  });
  const number = (name: string, text: string) => {
    if (!/^\d+$/.test(text)) throw new Usage(`--${name}: ${JSON.stringify(text)} is not a whole number`);
    return Number(text);
  };
  const server = TEST_SERVER_NAMES.find((name) => name === values.server);
  if (values.server !== undefined && !server) throw new Usage(`--server: ${JSON.stringify(values.server)} is unknown`);
  if (values.plant !== undefined && !isPlant(values.plant))
    throw new Usage(`--plant: ${JSON.stringify(values.plant)} is unknown`);
  const all = Array.from({ length: number("runs", values.runs) }, (_, i) => i);
  const only = values.only?.split(",").flatMap((part) => {
    const [from = "", to = from] = part.split("-");
    const [first, last] = [number("only", from), number("only", to)];
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return {
    seed: number("seed", values.seed),
    indices: only ?? all,
    server,
    plant: values.plant as Plant | undefined,
    verbose: values.verbose,
  };
}

const say = (line: string) => process.stdout.write(`${line}\n`);

async function main(args: readonly string[]): Promise<number> {
  const options = optionsFrom(args);
  const { ensureTestServers } = await toolchain();
  const programs = await ensureTestServers({ log: (line) => process.stderr.write(`${line}\n`) });
  if (options.plant) plant(options.plant);
  say(
    `seed ${options.seed}, ${options.indices.length} runs${options.plant ? `, with the planted bug ${options.plant}` : ""}`,
  );
  const reports: RunReport[] = [];
  const began = Date.now();
  for (const index of options.indices) {
    const sequence = sequenceOf(options.seed, index);
    const name = options.server ?? SERVERS[Math.floor(sequence.server * SERVERS.length)] ?? "redis-7.0";
    const program: ServerProgram = programs[name];
    say(`run ${index} on ${name}`);
    for (const line of describeSequence(sequence)) say(`    ${line}`);
    const { seed, plant: planted, verbose } = options;
    const report = await runSequence(sequence, program, {
      seed,
      ...(planted ? { plant: planted } : {}),
      ...(verbose ? { onLine: say } : {}),
    });
    reports.push(report);
    if (report.outcome !== "verified" && !verbose) for (const line of report.log) say(line);
    say(
      `run ${index}: ${report.outcome} in ${report.seconds} s, ${report.writes.acknowledged + report.writes.confirmed} writes (${report.writes.confirmed} confirmed)${report.outcome === "verified" ? "" : `; again by --seed ${seed} --only ${index}`}`,
    );
  }
  return summary(options, reports, (Date.now() - began) / 1000);
}

function summary({ seed, plant: planted }: Options, reports: readonly RunReport[], seconds: number): number {
  const count = (outcome: RunReport["outcome"]) => reports.filter((r) => r.outcome === outcome).length;
  const faults = Object.fromEntries(
    FAULTS.map((fault) => [fault, reports.reduce((sum, r) => sum + (r.injected[fault] ?? 0), 0)]),
  );
  const refusals = reports.filter((r) => r.outcome === "refused");
  const failed = reports.filter((r) => r.outcome === "failed");
  const longest = Math.max(0, ...reports.map((r) => r.seconds));
  const sum = (pick: (r: RunReport) => number) => reports.reduce((total, r) => total + pick(r), 0);
  say("");
  say("fault                  times");
  for (const [fault, times] of Object.entries(faults)) say(`${fault.padEnd(20)} ${String(times).padStart(7)}`);
  say("");
  say(
    `verified ${count("verified")}, refused ${refusals.length}, failed ${failed.length}; ${Math.round(seconds)} s, longest run ${longest} s`,
  );
  for (const { index, why } of refusals) say(`  refused, run ${index}: ${why.split("\n")[0]}`);
  for (const { index, why } of failed)
    say(`  failed, run ${index}: ${why.split("\n")[0]} (--seed ${seed} --only ${index})`);
  for (const { index, crashes } of reports)
    for (const crash of crashes) say(`  a server crashed by itself in run ${index}, and was started again: ${crash}`);
  for (const { index, hung } of reports)
    for (const name of hung)
      say(`  a server looped by itself in run ${index}, and was ended and started again: ${name}`);
  const tooMany = refusals.length > reports.length * 0.05;
  if (tooMany) say(`more than 5 % of the runs were refused (accepted are ${ACCEPTED_REFUSALS.join(", ")})`);
  say(
    JSON.stringify({
      seed,
      runs: reports.length,
      ...(planted ? { planted } : {}),
      verified: count("verified"),
      refused: refusals.map((r) => r.index),
      failed: failed.map((r) => r.index),
      faults,
      changes: sum((r) => r.changes),
      crashes: sum((r) => r.crashes.length),
      hung: sum((r) => r.hung.length),
      remedied: sum((r) => r.remedied.length),
      writes: { acknowledged: sum((r) => r.writes.acknowledged), confirmed: sum((r) => r.writes.confirmed) },
      seconds: Math.round(seconds),
    }),
  );
  // A fault of a server is rare; more of them are a fault of whoever drives it there.
  const hung = reports.filter((r) => r.hung.length > 0).length;
  const tooOften = hung > Math.max(1, reports.length * 0.02);
  if (tooOften) say(`servers looped in ${hung} of ${reports.length} runs: more than one and 2 %`);
  return failed.length > 0 || tooMany || tooOften ? 1 : 0;
}

void main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    const text = error instanceof Usage ? `${error.message}\n${USAGE}` : error instanceof Error ? error.stack : error;
    process.stderr.write(`chaos: ${text}\n`);
    process.exit(error instanceof Usage ? 2 : 1);
  },
);
