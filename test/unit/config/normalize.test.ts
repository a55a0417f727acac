import { expect, test } from "vitest";
import {
  describeSetting,
  mergeBufferLimits,
  normalizeSetting,
  parseMemory,
} from "../../../components/config/normalize";

test.for([
  ["maxmemory", "10gb", "10737418240"],
  ["maxmemory", "10G", "10000000000"],
  ["maxmemory-clients", "5%", "5%"],
  ["appendonly", "YES", "yes"],
  ["save", "3600  1 300 100", "3600 1 300 100"],
  ["save", "", ""],
  ["client-output-buffer-limit", "slave 256mb 64mb 60 normal 0 0 0", "normal 0 0 0 replica 268435456 67108864 60"],
  ["notify-keyspace-events", "AK", "$Kdeghlstxz"],
  ["notify-keyspace-events", "Kg$lshzxetd", "$Kdeghlstxz"],
  ["hz", "1000", "500"],
  ["unixsocketperm", "0700", "700"],
  ["oom-score-adj", "relative", "yes"],
  ["shutdown-on-sigterm", "now nosave", "nosave now"],
  ["latency-tracking-info-percentiles", "50.0 99.90", "50 99.9"],
  ["masteruser", " as it is ", " as it is "],
  ["unknown-directive", "10GB", "10GB"],
])("%s %j is %j", ([name = "", value = "", expected]) => {
  expect(normalizeSetting(name, value)).toBe(expected);
  expect(normalizeSetting(name, normalizeSetting(name, value))).toBe(expected);
});

test("sizes need a unit that servers know", () => {
  expect(["1", "1b", "1K", "1kb", "1tb", "kb", "-1", "1.5gb", ""].map(parseMemory)).toEqual([
    1n,
    1n,
    1000n,
    1024n,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("a partial limit is laid over the one before", () => {
  expect(mergeBufferLimits("normal 0 0 0 slave 1 2 3 pubsub 4 5 6", "pubsub 1kb 0 0")).toBe(
    "normal 0 0 0 replica 1 2 3 pubsub 1024 0 0",
  );
});

test("a reader sees sizes with their unit, and everything else as it is", () => {
  expect(describeSetting("maxmemory", "104857600")).toBe("100mb");
  expect(describeSetting("maxmemory", "0")).toBe("0");
  expect(describeSetting("maxmemory-clients", "5%")).toBe("5%");
  expect(describeSetting("slowlog-max-len", "1024")).toBe("1024");
});
