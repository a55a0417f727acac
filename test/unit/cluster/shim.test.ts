import { createRequire } from "node:module";
import { resolve } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";

const dist = resolve(__dirname, "../../../dist/components/cluster/shim.js");

/**
 * The golden file is in the state of every stack that anybody has made. Do not update it to make this test pass: an edit
 * of the shim shows as a change of every resource in everybody's preview. If it must change, that is a major release.
 */
test("the text that Pulumi stores as provider code has not changed", async () => {
  const { frozenProvider } = createRequire(__filename)(dist);
  const provider = frozenProvider("pulumi-redis-cluster/runner", "ClusterFormation");
  const { text } = await pulumi.runtime.serializeFunction(() => provider);
  await expect(text).toMatchFileSnapshot("shim.golden.txt");
});
