import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  type CommandsData,
  formatCommands,
  type ProbedCommands,
  probeCommands,
  tabulateCommands,
} from "../../support/probe-commands";
import { TEST_SERVER_NAMES, testServers } from "../../support/servers";

const FILE = join(__dirname, "../../../components/config/commands.json");

// UPDATE_COMMANDS=1 writes the table anew. Do that when a server of the tests changes, and read the difference: what a
// category holds decides what users may do.
test("commands.json says what the four servers say", async ({ skip }) => {
  const servers = (await testServers()) ?? skip("no test servers");
  const answers: Record<string, ProbedCommands> = {};
  for (const name of TEST_SERVER_NAMES) answers[name] = await probeCommands(servers[name]);
  const seen = tabulateCommands(answers);
  if (process.env.UPDATE_COMMANDS) writeFileSync(FILE, formatCommands(seen));
  expect(JSON.parse(readFileSync(FILE, "utf8")) as CommandsData).toEqual(seen);
}, 60_000);
