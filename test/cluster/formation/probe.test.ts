import { expect, type TestContext, test } from "vitest";
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

/** `maxRedirections` of the client library, by default. */
const MOST_TRIES = 16;

/** Three masters; `down`: a slot is nobody's, and they serve no slot at all. */
async function fragile(context: TestContext) {
  const cluster = await TestCluster.start({
    program: await programFor(context, "redis-7.0"),
    masters: 3,
    replicas: 0,
    zones: 3,
  });
  context.onTestFinished(() => cluster.stop());
  await cluster.reconcile();
  const layout = layoutOf(cluster.goal, await cluster.observe());
  const [owner = ""] = cluster.names;
  await cluster.send(["CONFIG", "SET", "cluster-require-full-coverage", "yes"]);
  const state = async (state: string) =>
    until(`all say that the cluster is ${state}`, async () =>
      (await cluster.send(["CLUSTER", "INFO"])).every((info) => String(info).includes(`cluster_state:${state}`)),
    );
  await cluster.send(["CLUSTER", "DELSLOTS", "0"]);
  await state("fail");
  const served = async () => {
    await cluster.sendTo(owner, ["CLUSTER", "ADDSLOTS", "0"]);
    await state("ok");
  };
  return { cluster, served, probing: () => probe(cluster.goal, layout, cluster.access, "test-probe") };
}

test("a probe that meets a cluster which is down for a moment goes on as soon as that serves", async (context) => {
  const { cluster, served, probing } = await fragile(context);
  await cluster.send(["CONFIG", "RESETSTAT"]);
  const meanwhile = async () => {
    // By then its client has been told so, and begins anew.
    await until("its client has looked several times", async () => {
      const stats = await Promise.all(cluster.names.map((n) => cluster.sendTo(n, ["INFO", "commandstats"])));
      const looks = stats.map((text) => Number(/cmdstat_cluster\|slots:calls=(\d+)/.exec(String(text))?.[1] ?? 0));
      return looks.reduce((a, b) => a + b, 0) > 2;
    });
    await served();
  };
  await Promise.all([probing(), meanwhile()]);
});

test("a probe that finds one master behind the others waits for longer than its client does", async (context) => {
  const { cluster, served, probing } = await fragile(context);
  await served();
  const behind = cluster.names.at(-1) ?? "";
  let ended = false;
  const meanwhile = async () => {
    // Whatever its owner tells it, it takes the slot for nobody's again, and then serves none.
    const refused = async () => {
      await cluster.sendTo(behind, ["CLUSTER", "DELSLOTS", "0"]).catch(() => "unassigned already");
      const told = String(await cluster.sendTo(behind, ["INFO", "errorstats"]));
      return Number(/errorstat_CLUSTERDOWN:count=(\d+)/.exec(told)?.[1] ?? 0);
    };
    const before = await refused();
    await until("it has refused more often than the client asks", async () => (await refused()) > before + MOST_TRIES);
    expect(ended).toBe(false);
  };
  const probe = probing().finally(() => {
    ended = true;
  });
  await Promise.all([probe, meanwhile()]);
});

test("a probe of a cluster that stays down ends, and says so", async (context) => {
  const { probing } = await fragile(context);
  await expect(probing()).rejects.toThrow(/a client cannot use all of it: .*down/);
});
