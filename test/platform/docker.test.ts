import { TEST_SERVER_NAMES } from "../support/servers";
import { docker } from "./adapters/docker";
import { contractOf } from "./contract";

if (process.env.FULL) for (const server of TEST_SERVER_NAMES) contractOf(docker, server, "whole");
else {
  contractOf(docker, "redis-8.0", "whole");
  contractOf(docker, "valkey-9.1", "short");
}
