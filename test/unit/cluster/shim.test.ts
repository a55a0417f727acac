import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shimText } from "../../../components/cluster/shimText";

const STATES = join(__dirname, "../../upgrade/states");

/**
 * The golden file is in the state of every stack that anybody has made. Do not edit it to make this test pass: an edit
 * of the shim shows as a change of every resource in everybody's preview. If it must change, that is a major release. Hence
 * read as a file, not as a snapshot, which an update of others would write anew.
 */
test("the text that Pulumi stores as provider code has not changed", () => {
  const frozen = readFileSync(join(__dirname, "shim.golden.txt"), "utf8");
  expect(shimText("pulumi-redis-cluster/runner", "ClusterFormation")).toBe(frozen);
});

test.for(readdirSync(STATES))("it is what the state of version %s holds, for every kind of resource", (version) => {
  const state = JSON.parse(readFileSync(join(STATES, version, "state.json"), "utf8")) as {
    deployment: { resources: { type: string; inputs?: Stored; outputs?: Stored }[] };
  };
  const entries = new Map<string, string>();
  for (const { type, inputs, outputs } of state.deployment.resources) {
    const kind = /^pulumi-nodejs:dynamic\/redis-cluster:(.+)$/.exec(type)?.[1];
    if (!kind) continue;
    const text = inputs?.__provider ?? "";
    const entry = /entry: "([^"]*)"/.exec(text)?.[1] ?? "";
    entries.set(kind, entry);
    expect(text).toBe(shimText(entry, kind));
    expect(outputs?.__provider).toBe(text);
  }
  expect(Object.fromEntries(entries)).toEqual({
    ClusterFormation: "pulumi-redis-cluster/runner",
    NodeGuard: "pulumi-redis-cluster/runner",
    LocalNode: "pulumi-redis-cluster/local/runner",
    LocalVolume: "pulumi-redis-cluster/local/runner",
  });
});

interface Stored {
  readonly __provider?: string;
}
