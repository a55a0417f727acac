import { describe } from "vitest";
import { TEST_SERVER_NAMES } from "../support/servers";
import { local } from "./adapters/local";
import { contractOf } from "./contract";

// In the long run: test/cluster shows most of it in more ways, and containers show the rest at every commit, where they can be had without more ado.
const servers = process.env.FULL ? TEST_SERVER_NAMES : (["redis-8.0"] as const);
describe.skipIf(!process.env.FULL && process.platform === "linux")("the contract", () => {
  for (const server of servers) contractOf(local, server);
});
