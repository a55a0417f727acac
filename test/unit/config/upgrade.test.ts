import { expect, test } from "vitest";
import { upgradeProblem } from "../../../components/config/upgrade";
import type { Engine } from "../../../components/spec/spec";

const engine = (text: string): Engine => {
  const [name, version] = text.split(" ");
  return { name: name as Engine["name"], version: version ?? "" };
};

test.each([
  ["redis 7.0.15", "redis 7.0.16"],
  ["redis 7.0.16", "redis 7.0.15"],
  ["redis 7.0.15", "redis 8.0.2"],
  ["redis 7.0.15", "valkey 8.1.1"],
  ["redis 7.2", "valkey 8.0"],
  ["valkey 8.1.1", "valkey 9.1.2"],
  ["valkey 9.1", "valkey 9.0"],
])("%s can become %s in place", (from, to) => {
  expect(upgradeProblem(engine(from), engine(to))).toBeUndefined();
});

test.each([
  ["redis 8.0.2", "redis 7.0.15"],
  ["redis 7.4", "redis 7.2"],
  ["redis 8.0.2", "valkey 8.1.1"],
  ["valkey 8.1.1", "redis 7.0.15"],
  ["valkey 9.1", "valkey 8.1"],
  ["valkey 9.1", "redis 8.0"],
  ["redis 8.0.2", "valkey 9.1"],
])("%s cannot become %s: the replicas could not load the data", (from, to) => {
  expect(upgradeProblem(engine(from), engine(to))).toContain(`${to} cannot load what ${from} has written`);
});
