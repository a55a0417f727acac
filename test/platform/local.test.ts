import { TEST_SERVER_NAMES } from "../support/servers";
import { local } from "./adapters/local";
import { contractOf } from "./contract";

for (const server of process.env.FULL ? TEST_SERVER_NAMES : (["redis-8.0"] as const))
  contractOf(local, server, "whole");
