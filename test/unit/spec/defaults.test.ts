import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DEFAULTS, PLATFORM_DEFAULTS, platformDefaults } from "../../../components/spec/defaults";

const source = readFileSync(join(__dirname, "../../../components/spec/args.ts"), "utf8");

/** `Default: …` of every argument, by interface and name. */
const documented = new Map<string, string>();
for (const [, owner = "", body = ""] of source.matchAll(/export interface (\w+) \{\n([\s\S]*?)\n\}/g)) {
  for (const [, comment = "", name = ""] of body.matchAll(/\/\*\*([\s\S]*?)\*\/\s*(\w+)\??:/g)) {
    const text = /Default: ([\s\S]*?)\.?\s*$/.exec(comment.replace(/\s+\*?\s*/g, " "))?.[1];
    if (text !== undefined) documented.set(`${owner}.${name}`, text.replaceAll("`", ""));
  }
}

describe("defaults are what the doc comments say", () => {
  const { persistence, shardsAtOnce, tls, ...plain } = DEFAULTS;

  test.each(Object.entries(plain))("%s", (name, value) => {
    expect(documented.get(`RedisClusterArgs.${name}`)).toBe(JSON.stringify(value));
  });

  test("persistence", () => {
    expect(documented.get("RedisClusterArgs.persistence")).toBe(`{ mode: "${persistence.mode}" }`);
    expect(documented.get("PersistenceArgs.mode")).toBe(JSON.stringify(persistence.mode));
    expect(documented.get("PersistenceArgs.appendfsync")).toBe(JSON.stringify(persistence.appendfsync));
    const [first, ...others] = persistence.savePoints;
    const points = [
      `after ${first.seconds} s and ${first.changes} change`,
      ...others.map(({ seconds, changes }) => `${seconds} s and ${changes}`),
    ];
    expect(documented.get("PersistenceArgs.savePoints")).toBe(points.join(", "));
  });

  test.each(Object.entries(tls).filter(([name]) => name !== "enabled"))("tls.%s", (name, value) => {
    expect(documented.get(`TlsArgs.${name}`)).toBe(JSON.stringify(value));
  });

  test("rolling", () => {
    expect(documented.get("RollingArgs.shardsAtOnce")).toBe(JSON.stringify(shardsAtOnce));
  });

  test("dataOnDestroy, where each holds", () => {
    const { local, ...others } = PLATFORM_DEFAULTS;
    expect(documented.get("RedisClusterArgs.dataOnDestroy")).toBe(
      `"${local?.dataOnDestroy}" on local, "keep" elsewhere`,
    );
    for (const platform of [...Object.keys(others), "another"])
      expect(platformDefaults(platform).dataOnDestroy).toBe("keep");
  });

  test("every documented default is in the constant, or set by the platform, or computed", () => {
    const elsewhere = [...documented].filter(([name, text]) => {
      const [owner, key = ""] = name.split(".");
      if (text.startsWith("set by the platform")) return false;
      const table = { PersistenceArgs: persistence, TlsArgs: tls }[owner ?? ""] ?? DEFAULTS;
      return !(key in table);
    });
    expect(elsewhere.map(([name]) => name)).toEqual([
      "RedisClusterArgs.maxmemory",
      "RedisClusterArgs.redisConfig",
      "RedisClusterArgs.migration",
      "RedisClusterArgs.users",
      "RedisClusterArgs.passwordRotation",
      "RedisClusterArgs.domain",
      "RedisClusterArgs.dataOnDestroy",
      "MigrationArgs.maxKeysPerSecond",
      "MigrationArgs.until",
      "UserArgs.keys",
      "UserArgs.channels",
      "TlsArgs.plainPort",
      "TlsArgs.clients",
    ]);
  });

  test("the table names every platform", () => {
    expect(Object.keys(PLATFORM_DEFAULTS)).toEqual(["local", "docker", "aws", "kubernetes", "existing"]);
    expect(Object.values(PLATFORM_DEFAULTS).map(({ port }) => port)).toEqual([7000, 6379, 6379, 6379, 6379]);
  });
});
