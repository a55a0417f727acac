import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type DirectivesData, formatData, tabulate } from "../../support/directives-data";
import { type ProbedDirective, probeDirectives } from "../../support/probe-directives";
import { TEST_SERVER_NAMES, testServers } from "../../support/servers";

const FILE = join(__dirname, "../../../components/config/directives.json");

// UPDATE_DIRECTIVES=1 writes the table anew. Do that when a server of the tests changes, and read the difference: a
// directive that became restart-only, or live, changes who owns it.
test("directives.json says what the four servers say", async ({ skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const answers: Record<string, Record<string, ProbedDirective>> = {};
  for (const name of TEST_SERVER_NAMES) answers[name] = await probeDirectives(servers[name]);
  const seen = tabulate(answers);
  if (process.env.UPDATE_DIRECTIVES) writeFileSync(FILE, formatData(seen));
  const recorded = JSON.parse(readFileSync(FILE, "utf8")) as DirectivesData;
  expect(recorded.servers).toEqual(seen.servers);
  expect(recorded.directives).toEqual(seen.directives);
}, 120_000);
