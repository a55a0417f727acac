import { describe } from "vitest";
import { TEST_SERVER_NAMES } from "../support/servers";
import { local } from "./adapters/local";
import { contractOf } from "./contract";

// In the long run alone: it is what test/cluster shows of this platform in more ways.
describe.skipIf(!process.env.FULL)("the contract", () => {
  for (const server of TEST_SERVER_NAMES) contractOf(local, server);
});
