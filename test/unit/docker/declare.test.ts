import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { DOCKER_DEFAULTS, type DockerRedisClusterArgs } from "../../../infra/platforms/docker/args";
import { declareDocker } from "../../../infra/platforms/docker/declare";

/** What stops the preview, a line for each problem. @param args as plain JavaScript lets them through */
function refusal(args: unknown): string[] {
  try {
    declareDocker("dev", args as DockerRedisClusterArgs);
  } catch (error) {
    expect(error, String(error)).toBeInstanceOf(pulumi.RunError);
    return (error as Error).message
      .split("\n")
      .slice(1)
      .map((line) => line.trim());
  }
  throw new Error("nothing was refused");
}

const specOf = (args: DockerRedisClusterArgs) => declareDocker("dev", args).spec;

describe("arguments of a cluster in Docker", () => {
  test("need none", () => {
    const { engine, port, dataOnDestroy, zones } = specOf({});
    expect({ engine, port, dataOnDestroy, zones }).toEqual({
      engine: DOCKER_DEFAULTS.engine,
      port: 6379,
      dataOnDestroy: "keep",
      zones: [...DOCKER_DEFAULTS.zones],
    });
  });

  test("the image tells the engine, and an engine its image", () => {
    expect(specOf({ image: "valkey/valkey:9.1-alpine" }).engine).toEqual({ name: "valkey", version: "9.1" });
    expect(specOf({ engine: { name: "valkey", version: "8.1" } }).engine).toEqual({ name: "valkey", version: "8.1" });
    expect(specOf({ image: "mine:latest", engine: { name: "redis", version: "7.0" } }).engine.version).toBe("7.0");
    // A declared patch level says more than the tag, and no other thing.
    expect(specOf({ image: "redis:8.0", engine: { name: "redis", version: "8.0.2" } }).engine.version).toBe("8.0.2");
  });

  test("an image that tells no engine needs one declared; one that tells another is refused", () => {
    expect(refusal({ image: "mine:latest" })).toEqual([
      expect.stringMatching(/engine: missing, and the name of "mine:latest"/),
    ]);
    expect(refusal({ image: "redis:8.0", engine: { name: "valkey" } })[0]).toMatch(
      /engine: valkey is declared, but "redis:8.0" has redis 8.0 by its name; leave `engine` out/,
    );
  });

  test("all problems in one preview, each with what is allowed", () => {
    expect(
      refusal({
        image: "No Image",
        subnet: "10.0.0.0/30",
        publish: { address: "localhost", firstPort: 0, from: 1 },
        reachThrough: "tunnel",
        openFiles: 100,
        dockerHost: "here",
        masters: 2,
      }),
    ).toEqual([
      expect.stringMatching(/^masters: 2 is too few/),
      expect.stringMatching(/^image: "No Image" is no image; use a name with a tag/),
      expect.stringMatching(/^subnet: "10.0.0.0\/30" is no network of IPv4/),
      expect.stringMatching(/^reachThrough: "tunnel" is not known; use one of "network", "published"/),
      expect.stringMatching(/^publish.from: is not an argument; use one of address, firstPort/),
      expect.stringMatching(/^publish.address: "localhost" is no IP address/),
      expect.stringMatching(/^publish.firstPort: 0 is too low/),
      expect.stringMatching(/^openFiles: 100 is too low; use 1024 or more/),
      expect.stringMatching(/^dockerHost: "here" is no Docker daemon; use "unix:/),
    ]);
  });

  test("clients need files", () => {
    expect(refusal({ redisConfig: { maxclients: "30000" } })).toEqual([
      expect.stringMatching(/openFiles: 20000 is too few for maxclients 30000 .* use 30032 or more/),
    ]);
    expect(specOf({ redisConfig: { maxclients: "30000" }, openFiles: 30_032 }).name).toBe("dev");
  });
});
