import { describe, expect, test } from "vitest";
import { check } from "../../engine/docker/check";
import { containerType, networkType, provider, remoteImageType, rules, volumeType } from "../../engine/docker/rules";
import type { Fields, Rule } from "../../engine/docker/schema";
import { type Properties, secret } from "../../engine/values";

// Proves that the double takes what the real provider takes, says all that is wrong at once, and never drops an argument.

const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const fieldsOf = (type: string): Fields => rules[type]?.fields ?? {};
const run = (type: string, news: Properties, olds: Properties = {}) =>
  check(fieldsOf(type), news, { unknown, name: "thing", olds });
const problems = (type: string, news: Properties) =>
  run(type, news).failures.map(({ property, reason }) => `${property}: ${reason}`);

describe("arguments", () => {
  test("what nobody knows, what is of the wrong kind and what is missing is told at once", () => {
    const found = problems(containerType, {
      memroy: 64,
      memory: "64",
      command: "sleep 1",
      ports: [{ external: 80 }],
      labels: [{ label: "a", value: "b", more: "c" }],
      healthcheck: ["CMD"],
      tmpfs: { "/run": 1 },
      cpuShares: 1.5,
    });
    expect(found).toHaveLength(9);
    expect(found.join("\n")).toContain('memroy: An argument named "memroy" is not expected here.');
    expect(found).toContain("memory: expected a number, got a string");
    expect(found).toContain("command: expected a list, got a string");
    expect(found.join("\n")).toContain('ports[0].internal: Missing required argument. The argument "internal"');
    expect(found.join("\n")).toContain('labels[0].more: An argument named "more"');
    expect(found).toContain("healthcheck: expected an object, got a list");
    expect(found).toContain("tmpfs./run: expected a string, got a number");
    expect(found).toContain("cpuShares: expected a whole number, got 1.5");
    expect(found.join("\n")).toContain('image: Missing required argument. The argument "image"');
  });

  test.each<[string, Properties, string]>([
    ["restart", { restart: "maybe" }, "doesn't match the pattern"],
    ["memorySwap", { memorySwap: -2 }, "'-2' cannot be lower than -1"],
    ["healthcheck.interval", { healthcheck: { interval: "5 s" } }, "'5 s' is not a valid duration"],
    ["healthcheck.interval", { healthcheck: { interval: "-5s" } }, "'-5s' duration must not be negative"],
    ["uploads[0].contentBase64", { uploads: [{ file: "/x", contentBase64: "?" }] }, "'?' is not base64 decodeable"],
    ["uploads[0].permissions", { uploads: [{ file: "/x", permissions: "644" }] }, "doesn't match the pattern"],
    ["mounts[0].type", { mounts: [{ target: "/x", type: "nfs" }] }, "doesn't match the pattern"],
    ["volumes[0].hostPath", { volumes: [{ hostPath: "here" }] }, "'here' must be an absolute path"],
  ])("%s %j", (property, news, reason) => {
    const { failures } = run(containerType, { image: "x", ...news });
    expect(failures.map((failure) => failure.property)).toEqual([property]);
    expect(failures[0]?.reason).toContain(reason);
  });

  test("what the double does not carry out is refused, unless it is what holds anyway", () => {
    const refused = (fields: Fields) => Object.entries(fields).flatMap(([name, rule]) => (rule.refused ? [name] : []));
    expect(refused(fieldsOf(containerType))).toEqual([
      "deviceCgroupRules",
      "deviceReadBps",
      "deviceReadIops",
      "deviceRequests",
      "deviceWriteBps",
      "deviceWriteIops",
      "devices",
      "gpus",
      "platform",
    ]);
    expect(refused(fieldsOf(remoteImageType))).toEqual(["build", "platform"]);
    expect(refused(fieldsOf(volumeType))).toEqual(["cluster"]);
    expect(problems(containerType, { image: "x", gpus: "all" })).toEqual([
      "gpus: not carried out by this double of the Docker provider; use the Pulumi CLI, or leave the argument out",
    ]);
    expect(problems(remoteImageType, { name: "x", platform: "" })).toEqual([]);
    expect(problems(remoteImageType, { name: "x", platform: "linux/arm64" })).toHaveLength(1);
    expect(check(provider, { host: "ssh://x", certPath: "/y" }, { unknown, name: "", olds: {} }).failures).toHaveLength(
      1,
    );
  });

  test("a secret that is wrong is not told", () => {
    const { failures } = run(containerType, { image: "x", restart: secret("hush"), cpuSet: secret("hush") });
    expect(failures).toHaveLength(2);
    expect(JSON.stringify(failures)).not.toContain("hush");
  });

  test("what is not known yet is neither wrong nor missing", () => {
    expect(problems(containerType, { image: unknown, labels: unknown, memory: unknown, mounts: [unknown] })).toEqual(
      [],
    );
  });
});

describe("defaults", () => {
  test("are filled in at every level, and noted", () => {
    const { inputs } = run(containerType, {
      image: "x",
      ports: [{ internal: 1 }],
      healthcheck: { tests: ["CMD", "true"] },
    });
    expect(inputs).toMatchObject({
      restart: "no",
      networkMode: "bridge",
      mustRun: true,
      start: true,
      removeVolumes: true,
      ports: [{ internal: 1, ip: "0.0.0.0", protocol: "tcp", __defaults: ["ip", "protocol"] }],
      healthcheck: { tests: ["CMD", "true"], interval: "0s", startInterval: "0s" },
    });
    expect(inputs.__defaults).toContain("restart");
    expect(inputs.__defaults).not.toContain("image");
    // A default of nothing is none: the bridge leaves it out.
    for (const name of ["memory", "tty", "healthcheck.retries"]) expect(inputs).not.toHaveProperty(name);
  });

  test("a name is made once and kept, and is the program's where it gives one", () => {
    const first = run(networkType, {}).inputs;
    expect(first.name).toMatch(/^thing-[0-9a-f]{7}$/);
    expect(run(networkType, {}, first).inputs.name).toBe(first.name);
    expect(run(networkType, {}).inputs.name).not.toBe(first.name);
    const own = run(networkType, { name: "mine" }).inputs;
    expect(own.name).toBe("mine");
    expect(own.__defaults).not.toContain("name");
    // A name that the program gave is none to go on with once it gives none.
    expect(run(networkType, {}, own).inputs.name).not.toBe("mine");
  });
});

test("every default and every pattern is of its own kind", () => {
  const walk = (rule: Rule, at: string): string[] => {
    if (rule.kind === "block") return Object.entries(rule.of).flatMap(([key, inner]) => walk(inner, `${at}.${key}`));
    if (rule.kind === "list" || rule.kind === "set") return walk(rule.of, `${at}[]`);
    const fallback = "default" in rule ? rule.default : undefined;
    return fallback === undefined || typeof fallback === rule.kind ? [] : [at];
  };
  expect(
    Object.entries(rules).flatMap(([type, { fields }]) =>
      Object.entries(fields).flatMap(([key, rule]) => walk(rule, `${type}.${key}`)),
    ),
  ).toEqual([]);
});
