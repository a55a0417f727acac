import { expect, test } from "vitest";
import { shimText } from "../../../components/cluster/shimText";

/**
 * The golden file is in the state of every stack that anybody has made. Do not update it to make this test pass: an edit
 * of the shim shows as a change of every resource in everybody's preview. If it must change, that is a major release.
 */
test("the text that Pulumi stores as provider code has not changed", async () => {
  await expect(shimText("pulumi-redis-cluster/runner", "ClusterFormation")).toMatchFileSnapshot("shim.golden.txt");
});
