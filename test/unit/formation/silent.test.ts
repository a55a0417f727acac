import { expect, test } from "vitest";
import type { NodeObservation } from "../../../components/formation/observation";
import { reasonOf } from "../../../components/formation/observe";
import { silentNodes } from "../../../components/formation/silent";
import { SILENT_ONCE_CONNECTED } from "../../../components/formation/wire";

const silent = (i: number, reason: string): NodeObservation => ({
  answering: false,
  name: `n${i}`,
  endpoint: { address: `10.0.0.${i}`, port: 6379, busPort: 16379 },
  reason,
});
const WAY = "proxy root@bastion:22: connection refused; is it running?";
const said = (nodes: readonly NodeObservation[]) =>
  silentNodes(nodes, "c", "start it").map((r) => [r.subject, r.message]);

test("the way to all of them is one refusal, a node that does not answer is one of its own", () => {
  expect(said([1, 2, 3].map((i) => silent(i, WAY)))).toEqual([["c", `all 3 nodes cannot be reached: ${WAY}`]]);
  expect(said([silent(1, WAY), silent(2, WAY), silent(3, "root@bastion:22 gets no answer of 10.0.0.3:6379")])).toEqual([
    ["c", `n1, n2 cannot be reached: ${WAY}`],
    ["n3", "n3 at 10.0.0.3:6379 does not answer: root@bastion:22 gets no answer of 10.0.0.3:6379"],
  ]);
});

test("one that takes connections and says nothing may hang: that is looked into before anybody starts it, or ends one that is well", () => {
  const remedies = (reason: string) => silentNodes([silent(1, reason)], "c", "start it").map((r) => r.remedy);
  expect(remedies(reasonOf(new Error(SILENT_ONCE_CONNECTED)))).toEqual([
    expect.stringMatching(/^look on its host\. .* leave it alone: .*\. Otherwise: start it$/),
  ]);
  // A firewall is as silent, and its server may serve everybody else.
  expect(remedies(reasonOf(Object.assign(new Error(), { code: "ETIMEDOUT" })))).toEqual(["start it"]);
  expect(remedies("connection refused (no server listens there)")).toEqual(["start it"]);
});
