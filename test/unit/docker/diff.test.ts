import { describe, expect, test } from "vitest";
import { check } from "../../engine/docker/check";
import { applied, changes, inputsFromOutputs, planned } from "../../engine/docker/diff";
import { formatCpus, formatDuration, parseCpus, parseDuration } from "../../engine/docker/durations";
import { containerType, networkType, remoteImageType, rules, volumeType } from "../../engine/docker/rules";
import type { ResourceRules } from "../../engine/docker/schema";
import type { Properties } from "../../engine/values";

// Proves the provider's rules of replacing and updating, and that what was read counts, as in the bridge.

const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const of = (type: string): ResourceRules => rules[type] as ResourceRules;
const inputs = (type: string, news: Properties) =>
  check(of(type).fields, news, { unknown, name: "thing", olds: { name: "n", __defaults: ["name"] } }).inputs;

/** `a`: changed in place, `a!`: replaces. */
function diff(type: string, old: Properties, now: Properties): string[] {
  return changes(of(type), old, inputs(type, now), unknown).map(
    ({ property, replace }) => property + (replace ? "!" : ""),
  );
}

/** The outputs of one that has just been made of these inputs. */
function made(type: string, news: Properties): Properties {
  const state = planned(of(type), undefined, inputs(type, news), unknown);
  return Object.fromEntries(Object.entries(state).filter(([, value]) => value !== unknown));
}

test("what replaces a container, and what does not", () => {
  const { fields } = of(containerType);
  const inPlace = Object.entries(fields).flatMap(([name, rule]) => (rule.forceNew ? [] : [name]));
  expect(inPlace).toEqual([
    "attach",
    "containerReadRefreshTimeoutMilliseconds",
    "cpuPeriod",
    "cpuQuota",
    "cpuSet",
    "cpuShares",
    "destroyGraceSeconds",
    "deviceCgroupRules",
    "deviceReadBps",
    "deviceReadIops",
    "deviceWriteBps",
    "deviceWriteIops",
    "healthcheck",
    "init",
    "logs",
    "maxRetryCount",
    "memory",
    "memoryReservation",
    "memorySwap",
    "mustRun",
    "removeVolumes",
    "restart",
    "rm",
    "start",
    "tmpfs",
    "wait",
    "waitTimeout",
  ]);
});

test.each([networkType, volumeType])("everything replaces a %s", (type) => {
  const changeable = Object.entries(of(type).fields).filter(([, rule]) => !rule.forceNew && !rule.refused);
  expect(changeable).toEqual([]);
});

describe("a container", () => {
  const base: Properties = {
    image: "x",
    memory: 64,
    restart: "no",
    labels: [
      { label: "b", value: "2" },
      { label: "a", value: "1" },
    ],
    ports: [
      { internal: 1, external: 1001 },
      { internal: 2, external: 1002 },
    ],
  };
  const now = made(containerType, base);

  test("the same again is no change, whatever the order of labels and ports", () => {
    expect(diff(containerType, now, base)).toEqual([]);
    const turned = {
      ...base,
      labels: [...(base.labels as Properties[])].reverse(),
      ports: [...(base.ports as Properties[])].reverse(),
    };
    expect(diff(containerType, now, turned)).toEqual([]);
  });

  test("memory, restart and a health check change in place, a label and an environment replace", () => {
    expect(diff(containerType, now, { ...base, memory: 65, restart: "always" })).toEqual(["memory", "restart"]);
    expect(diff(containerType, now, { ...base, healthcheck: { tests: ["CMD", "x"] } })).toEqual(["healthcheck"]);
    expect(diff(containerType, now, { ...base, labels: [{ label: "a", value: "1" }] })).toEqual(["labels!"]);
    expect(diff(containerType, now, { ...base, envs: ["A=1"] })).toEqual(["envs!"]);
  });

  test("what comes later is unknown, and replaces where a change would", () => {
    expect(diff(containerType, now, { ...base, labels: [{ label: "a", value: unknown }] })).toEqual(["labels!"]);
    expect(diff(containerType, now, { ...base, memory: unknown })).toEqual(["memory"]);
  });

  test("what Docker fills in is no change, unless the provider does not take it so", () => {
    // Twice the memory is Docker's own choice of swap, but the provider's rules do not leave it to Docker.
    expect(diff(containerType, { ...now, memorySwap: 128 }, base)).toEqual(["memorySwap"]);
    const filled = { ...now, hostname: "h", shmSize: 64, ipcMode: "private", logDriver: "json-file", runtime: "runc" };
    expect(diff(containerType, { ...filled, command: ["a"], entrypoints: ["b"] }, base)).toEqual([]);
    // A list that is declared empty is another than the image's.
    expect(diff(containerType, { ...now, command: ["a"] }, { ...base, command: [] })).toEqual(["command!"]);
  });

  test("what the provider writes otherwise than it was given changes at every run", () => {
    expect(formatCpus(parseCpus("1") ?? 0)).toBe("1.0");
    expect(diff(containerType, { ...now, cpus: "1.0" }, { ...base, cpus: "1" })).toEqual(["cpus!"]);
    expect(diff(containerType, { ...now, cpus: "0.5" }, { ...base, cpus: "0.5" })).toEqual([]);
    const read = { ...now, capabilities: { adds: ["CAP_NET_ADMIN"], drops: ["ALL"] } };
    expect(diff(containerType, read, { ...base, capabilities: { adds: ["NET_ADMIN"], drops: ["ALL"] } })).toEqual([
      "capabilities!",
    ]);
    expect(diff(containerType, read, { ...base, capabilities: { adds: ["CAP_NET_ADMIN"], drops: ["ALL"] } })).toEqual(
      [],
    );
  });

  test("found stopped it is started again; with ports it is replaced, since it was found without", () => {
    expect(diff(containerType, { ...now, mustRun: false }, base)).toEqual(["mustRun"]);
    expect(diff(containerType, { ...now, mustRun: false, ports: [] }, base)).toEqual(["mustRun", "ports!"]);
  });

  test("an empty user or folder keeps what is there, and a port that Docker chose stays", () => {
    expect(diff(containerType, { ...now, user: "999", workingDir: "/data" }, { ...base, user: "" })).toEqual([]);
    expect(diff(containerType, { ...now, user: "999" }, { ...base, user: "998" })).toEqual(["user!"]);
    const chosen = { ...now, ports: [{ internal: 1, external: 49153, ip: "0.0.0.0", protocol: "tcp" }] };
    expect(diff(containerType, chosen, { ...base, ports: [{ internal: 1 }] })).toEqual([]);
  });
});

test("what was declared of a set stays written down as declared, until a refresh", () => {
  const plan = planned(
    of(containerType),
    undefined,
    inputs(containerType, { image: "x", capabilities: { adds: ["NET_RAW"] } }),
    unknown,
  );
  const read = Object.entries(plan).filter(([, value]) => value !== unknown);
  const found = {
    ...Object.fromEntries(read),
    capabilities: { adds: ["CAP_NET_RAW"] },
    healthcheck: { timeout: "1m0s" },
    tmpfs: {},
  };
  const kept = applied(of(containerType), plan, found, unknown);
  expect(kept).toMatchObject({
    capabilities: { adds: ["NET_RAW"] },
    healthcheck: { timeout: "1m0s" },
    envs: [],
    mounts: [],
  });
  expect(kept).not.toHaveProperty("tmpfs");
  expect(Object.values(kept)).not.toContain(unknown);
});

describe("previews", () => {
  test("of a creation know what is declared, and nothing that Docker will say", () => {
    const outputs = planned(of(networkType), undefined, inputs(networkType, { name: "n" }), unknown);
    expect(outputs).toMatchObject({
      name: "n",
      ipamConfigs: unknown,
      scope: unknown,
      ipamDriver: "default",
      labels: [],
    });
    expect(outputs).not.toHaveProperty("__defaults");
  });

  test("of an update know what stays", () => {
    const old = { ...made(containerType, { image: "x" }), networkDatas: [{ ipAddress: "1.2.3.4" }], hostname: "h" };
    const outputs = planned(of(containerType), old, inputs(containerType, { image: "x", memory: 64 }), unknown);
    expect(outputs).toMatchObject({ networkDatas: [{ ipAddress: "1.2.3.4" }], hostname: "h", memory: 64 });
  });
});

test("inputs after a refresh are what was found, for what was declared", () => {
  const before = inputs(containerType, { image: "x", memory: 64, ulimits: [{ name: "nofile", soft: 1, hard: 2 }] });
  const after = inputsFromOutputs(of(containerType).fields, before, {
    ...made(containerType, { image: "x" }),
    memory: 32,
    mustRun: false,
    hostname: "h",
    ulimits: [{ hard: 2, name: "nofile", soft: 1 }],
  });
  expect(after).toMatchObject({
    image: "x",
    memory: 32,
    mustRun: false,
    ulimits: [{ name: "nofile", soft: 1, hard: 2 }],
  });
  expect(after).not.toHaveProperty("hostname");
  expect(before.__defaults).toContain("mustRun");
  expect(after.__defaults).not.toContain("mustRun");
});

test("an image is kept and removed by other rules than it is pulled", () => {
  const now = made(remoteImageType, { name: "x" });
  expect(diff(remoteImageType, now, { name: "x", keepLocally: true, forceRemove: true })).toEqual([
    "forceRemove",
    "keepLocally",
  ]);
  expect(diff(remoteImageType, now, { name: "y" })).toEqual(["name!"]);
});

test.each([
  ["0", 0, "0s"],
  ["5s", 5e9, "5s"],
  ["60s", 6e10, "1m0s"],
  ["1.5s", 1.5e9, "1.5s"],
  ["500ms", 5e8, "500ms"],
  ["1h2m3s", 3723e9, "1h2m3s"],
])("duration %s", (text, nanoseconds, formatted) => {
  expect(parseDuration(text)).toBe(nanoseconds);
  expect(formatDuration(nanoseconds)).toBe(formatted);
});

test.each([
  ["1.0", "1.0"],
  ["2", "2.0"],
  ["1.5", "1.5"],
  ["0.25", "0.25"],
  ["10", "10."],
])("%s processors come back as %s", (text, read) => {
  expect(formatCpus(parseCpus(text) ?? 0)).toBe(read);
});
