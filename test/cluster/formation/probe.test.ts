import { expect, test } from "vitest";
import { layoutOf } from "../../../components/formation/layout";
import { probe } from "../../../components/formation/probe";
import { programFor, TestCluster, until } from "../../support/formation";

test("a probe waits until replicas have reported, where writes need them, and no longer than that", async (context) => {
  const cluster = await TestCluster.start({
    program: await programFor(context, "redis-7.0"),
    masters: 3,
    replicas: 1,
    zones: 3,
    nodeTimeoutMilliseconds: 15_000,
    lines: () => "min-replicas-to-write 1\nmin-replicas-max-lag 1",
  });
  const replicas = cluster.names.filter((_, i) => i % 2 === 1);
  const signal = (name: "SIGSTOP" | "SIGCONT") => {
    for (const replica of replicas) cluster.server(replica).process.kill(name);
  };
  context.onTestFinished(async () => {
    signal("SIGCONT");
    await cluster.stop();
  });
  await cluster.reconcile();
  const layout = layoutOf(cluster.goal, await cluster.observe());
  signal("SIGSTOP");
  const [leader = ""] = cluster.names;
  // A key of its own slots or not: lack of replicas is said first, or where to go.
  await until("writes are refused for lack of replicas", async () =>
    (await Promise.all(layout.map((s) => cluster.sendTo(s.leader?.name ?? leader, ["INFO", "replication"])))).every(
      (info) => /min_slaves_good_slaves:0/.test(String(info)),
    ),
  );
  let ended = false;
  const probing = probe(cluster.goal, layout, cluster.access, "test-probe").finally(() => {
    ended = true;
  });
  await until("all leaders have refused a write", async () =>
    (await Promise.all(layout.map((s) => cluster.sendTo(s.leader?.name ?? leader, ["INFO", "errorstats"])))).every(
      (info) => /errorstat_NOREPLICAS/.test(String(info)),
    ),
  );
  expect(ended).toBe(false);
  signal("SIGCONT");
  await probing;
});
