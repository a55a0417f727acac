import { describe, expect, test } from "vitest";
import { engineOfImage, imageProblem, officialImage } from "../../../infra/platforms/docker/image";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

describe("what an image's name says", () => {
  test.each([
    ["redis:8.0", { name: "redis", version: "8.0" }],
    ["redis:7.2.4-alpine", { name: "redis", version: "7.2.4" }],
    ["docker.io/library/redis:7.0", { name: "redis", version: "7.0" }],
    ["registry.example:5000/team/valkey:9.1-bookworm", { name: "valkey", version: "9.1" }],
    ["valkey/valkey:8.1", { name: "valkey", version: "8.1" }],
    [`valkey/valkey:8.1@${DIGEST}`, { name: "valkey", version: "8.1" }],
  ] as const)("%s", (image, engine) => {
    expect(engineOfImage(image)).toEqual(engine);
  });

  test.each(["redis", "redis:latest", "redis:8", `redis@${DIGEST}`, "mine:8.0", "redis-exporter:1.60", DIGEST])(
    "%s does not tell",
    (image) => {
      expect(engineOfImage(image)).toBeUndefined();
    },
  );

  test("the official image of an engine tells that engine", () => {
    for (const engine of [
      { name: "redis", version: "7.0" },
      { name: "valkey", version: "9.1" },
    ] as const)
      expect(engineOfImage(officialImage(engine))).toEqual(engine);
  });
});

test("names that Docker takes, and others", () => {
  for (const image of ["redis", "redis:8.0", "a.b:5000/c/d:e", `redis@${DIGEST}`, `redis:8.0@${DIGEST}`, DIGEST])
    expect(imageProblem(image), image).toBeUndefined();
  for (const image of [
    "",
    "Redis:8.0",
    "redis:",
    "redis: 8.0",
    "redis@sha256:12",
    "redis;rm",
    "-redis",
    "a//b",
    "redis\n",
  ])
    expect(imageProblem(image), image).toMatch(/is no image/);
});
