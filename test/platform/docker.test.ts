import { TEST_SERVER_NAMES } from "../support/servers";
import { docker } from "./adapters/docker";
import { contractOf } from "./contract";

for (const server of process.env.FULL ? TEST_SERVER_NAMES : (["redis-8.0"] as const)) contractOf(docker, server);
