import { TEST_SERVER_NAMES } from "../support/servers";
import { local } from "./adapters/local";
import { contractOf } from "./contract";

// Most of it is what test/cluster shows of this platform in more ways.
if (process.env.FULL) for (const server of TEST_SERVER_NAMES) contractOf(local, server, "whole");
else contractOf(local, "redis-8.0", "short");
